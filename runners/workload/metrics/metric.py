"""The metric: it is given a model's outputs batch by batch, and keeps little of each sample."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from paretune.runners.workload.outputs import first_output
from paretune.spaces import WorkloadError

Outputs = Mapping[str, NDArray[Any]]


class QualityMetric(Protocol):
    """Judges the outputs of a model on a split.

    A metric may also have:

    - ``per_sample() -> NDArray``, of shape (samples,): values whose mean ``compute()`` returns;
    - ``resampled(rows) -> float``: its value on these of the samples that it was given, with
      repeats. With one of the two, the quality has an interval (by bootstrap);
    - ``answers() -> NDArray``, integers of shape (samples, ...): what the model decided, so that
      decisions that differ from the baseline's can be counted.

    Attributes:
        name: The name under which its value is recorded. A value that is better when lower is
            recorded with a minus sign, as ``negative_NAME``: what is recorded is better when
            higher.
        higher_is_better: Its natural direction.
    """

    name: str
    higher_is_better: bool

    def update(self, outputs: Outputs, targets: Any) -> None:
        """Take one batch.

        Args:
            outputs: Arrays by the outputs' names; their first axis is the sample.
            targets: The targets of these samples, as the data has them.
        """

    def compute(self) -> float:
        """Return the value over all batches so far.

        Raises:
            WorkloadError: If there was no batch.
        """


class SampleMetric(ABC):
    """A metric that is a function of a few numbers per sample.

    A subclass writes :meth:`of_samples`, and :meth:`value` unless that is their mean. It needs no
    more for an interval: the same numbers are drawn again.

    Args:
        name: The name under which it is recorded.
        output: Which of the model's outputs it judges; the first if ``None``.
    """

    higher_is_better = True
    is_mean = True

    def __init__(self, name: str, output: str | None = None) -> None:
        self.name = name
        self.output = output
        self._parts: list[NDArray[Any]] = []
        self._whole: NDArray[Any] | None = None

    @abstractmethod
    def of_samples(self, outputs: Outputs, targets: Any) -> NDArray[Any]:
        """Return what is kept of each sample of a batch: an array of shape (samples, ...)."""

    def value(self, samples: NDArray[Any]) -> float:
        """Return the metric of what was kept of some samples; by default the mean.

        Args:
            samples: Of shape (samples, ...), at least one.
        """
        return float(np.mean(samples))

    def update(self, outputs: Outputs, targets: Any) -> None:
        """Take one batch (see :class:`QualityMetric`)."""
        self._parts.append(self.of_samples(outputs, targets))
        self._whole = None

    def compute(self) -> float:
        """Return the value over all batches."""
        return self.value(self.samples)

    def resampled(self, rows: NDArray[np.int64]) -> float:
        """Return the value on some of the samples, with repeats."""
        return self.value(self.samples[rows])

    def per_sample(self) -> NDArray[np.float64] | None:
        """Return the values whose mean the metric is, or ``None`` if it is not a mean."""
        return self.samples.astype(np.float64) if self.is_mean else None

    @property
    def samples(self) -> NDArray[Any]:
        """What was kept of all samples."""
        if not self._parts:
            raise WorkloadError(f"the metric {self.name} was given no sample")
        if self._whole is None:
            self._whole = np.concatenate(self._parts)
            self._parts = [self._whole]
        return self._whole

    def judged(self, outputs: Outputs) -> NDArray[Any]:
        """Return the output that this metric judges.

        Raises:
            WorkloadError: If the model has no output of that name.
        """
        if self.output is None:
            return np.asarray(first_output(outputs))
        if self.output not in outputs:
            raise WorkloadError(
                f"the metric {self.name} judges the output {self.output!r}, but the model's are "
                f"{', '.join(outputs)}"
            )
        return np.asarray(outputs[self.output])


def single_target(targets: Any, metric: str) -> NDArray[Any]:
    """Return targets that are one array.

    Raises:
        WorkloadError: If they are not.
    """
    if isinstance(targets, Mapping) and len(targets) == 1:
        targets = first_output(targets)
    array = np.asarray(targets)
    if isinstance(targets, Mapping) or array.dtype.hasobject:
        raise WorkloadError(
            f"the metric {metric} takes targets of one array; got {type(targets).__name__}: write "
            "a metric of your own"
        )
    return array
