"""Metrics of numbers: errors, R², rank correlation, and the cosine of vectors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paretune.runners.workload.metrics.metric import Outputs, SampleMetric, single_target
from paretune.spaces import WorkloadError


class ValueMetric(SampleMetric):
    """A metric of values and what they should be, of one shape."""

    def pairs(self, outputs: Outputs, targets: Any) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return outputs and targets in fp64, of shape (samples, values per sample)."""
        given, wanted = self.judged(outputs), single_target(targets, self.name)
        if given.size != wanted.size or len(given) != len(wanted):
            raise WorkloadError(
                f"the metric {self.name} needs targets in the outputs' shape {list(given.shape)}; "
                f"got {list(wanted.shape)}"
            )
        count = len(given)
        return (
            given.reshape(count, -1).astype(np.float64),
            wanted.reshape(count, -1).astype(np.float64),
        )


class MeanSquaredError(ValueMetric):
    """The mean squared error; 0 is the best."""

    higher_is_better = False

    def __init__(self, name: str = "mse", output: str | None = None) -> None:
        super().__init__(name, output)

    def of_samples(self, outputs: Outputs, targets: Any) -> NDArray[Any]:
        """Return each sample's mean squared error."""
        given, wanted = self.pairs(outputs, targets)
        return np.asarray(np.mean((given - wanted) ** 2, axis=1))


class MeanAbsoluteError(ValueMetric):
    """The mean absolute error; 0 is the best."""

    higher_is_better = False

    def __init__(self, name: str = "mae", output: str | None = None) -> None:
        super().__init__(name, output)

    def of_samples(self, outputs: Outputs, targets: Any) -> NDArray[Any]:
        """Return each sample's mean absolute error."""
        given, wanted = self.pairs(outputs, targets)
        return np.asarray(np.mean(np.abs(given - wanted), axis=1))


class R2(ValueMetric):
    """The share of the targets' variance that is explained; 1 is the best."""

    is_mean = False

    def __init__(self, name: str = "r2", output: str | None = None) -> None:
        super().__init__(name, output)

    def of_samples(self, outputs: Outputs, targets: Any) -> NDArray[Any]:
        """Keep outputs and targets: (samples, 2, values)."""
        return np.stack(self.pairs(outputs, targets), axis=1)

    def value(self, samples: NDArray[Any]) -> float:
        """Return one minus the ratio of squared errors to squared deviations from the mean."""
        given, wanted = samples[:, 0], samples[:, 1]
        spread = float(np.sum((wanted - wanted.mean(axis=0)) ** 2))
        if spread == 0.0:
            raise WorkloadError(f"the metric {self.name} needs targets that differ")
        return 1.0 - float(np.sum((given - wanted) ** 2)) / spread


class Spearman(ValueMetric):
    """The rank correlation of one value per sample with its target; 1 is the best."""

    is_mean = False

    def __init__(self, name: str = "spearman", output: str | None = None) -> None:
        super().__init__(name, output)

    def of_samples(self, outputs: Outputs, targets: Any) -> NDArray[Any]:
        """Keep outputs and targets: (samples, 2, 1)."""
        kept = np.stack(self.pairs(outputs, targets), axis=1)
        if kept.shape[2] != 1:
            raise WorkloadError(
                f"the metric {self.name} needs one value per sample; got {kept.shape[2]}"
            )
        return kept

    def value(self, samples: NDArray[Any]) -> float:
        """Return Spearman's coefficient; NaN if all values are equal, which has no ranks."""
        from scipy.stats import spearmanr

        given, wanted = samples[:, :, 0].T
        if (given == given[0]).all() or (wanted == wanted[0]).all():
            return float("nan")
        return float(spearmanr(given, wanted).statistic)


class Cosine(SampleMetric):
    """The cosine between each sample's output and its target as flat vectors.

    With several outputs and targets by the same names, it is the mean of each output's cosine, so
    that a small output counts as much as a large one. Integer outputs count by the share of equal
    values: the numbers of two classes have no angle.
    """

    def __init__(self, name: str = "cosine_similarity", output: str | None = None) -> None:
        super().__init__(name, output)

    def of_samples(self, outputs: Outputs, targets: Any) -> NDArray[Any]:
        """Return each sample's mean cosine."""
        if not isinstance(targets, Mapping):
            targets = {self.output or next(iter(outputs)): np.asarray(targets)}
        names = [self.output] if self.output else list(targets)
        if missing := [name for name in names if name not in outputs or name not in targets]:
            raise WorkloadError(
                f"the metric {self.name}: there is no output and target {missing[0]!r}; the model "
                f"has {', '.join(outputs)}"
            )
        found = [self._closeness(np.asarray(outputs[n]), np.asarray(targets[n]), n) for n in names]
        return np.asarray(np.mean(found, axis=0))

    def _closeness(self, output: NDArray[Any], target: NDArray[Any], name: str) -> NDArray[Any]:
        if output.size != target.size or len(output) != len(target):
            raise WorkloadError(
                f"the metric {self.name}: the output {name!r} has the shape {list(output.shape)}, "
                f"but its target {list(target.shape)}"
            )
        given, wanted = (each.reshape(len(each), -1) for each in (output, target))
        if given.dtype.kind in "biu" and wanted.dtype.kind in "biu":
            return np.asarray((given == wanted).mean(axis=1))
        given, wanted = given.astype(np.float64), wanted.astype(np.float64)
        lengths = np.linalg.norm(given, axis=1) * np.linalg.norm(wanted, axis=1)
        products = np.sum(given * wanted, axis=1)
        same = np.all(given == wanted, axis=1).astype(np.float64)
        return np.asarray(np.where(lengths > 0, products / np.maximum(lengths, 1e-300), same))
