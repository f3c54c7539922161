"""The judge: gives outputs and targets to metrics, batch by batch, and checks what they say."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paretune.runners.workload.metrics.metric import Outputs, QualityMetric
from paretune.runners.workload.outputs import first_output
from paretune.spaces import ParetuneError, WorkloadError


@dataclass(frozen=True)
class Judgement:
    """What the metrics say about a model's outputs on a split; higher is better for all.

    Attributes:
        values: The value of each metric under the name that it is recorded by, the objective first.
        resampled: The objective on bootstrap samples of the split; empty if unknown.
        answers: What the model decided: integers of shape (samples, ...), or ``None`` if its
            outputs are not decisions.
    """

    values: Mapping[str, float]
    resampled: tuple[float, ...] = ()
    answers: NDArray[Any] | None = field(default=None, compare=False)

    @property
    def value(self) -> float:
        """The objective's value."""
        return next(iter(self.values.values()))


def recorded_name(metric: QualityMetric) -> str:
    """Return the name that a metric is recorded by: better when higher."""
    return metric.name if metric.higher_is_better else f"negative_{metric.name}"


def judge(
    metrics: Sequence[QualityMetric],
    batches: Iterable[tuple[Outputs, Any]],
    resamples: int = 0,
) -> Judgement:
    """Return what metrics say about outputs and targets.

    Args:
        metrics: The objective first; they are copied, and stay as they are.
        batches: Outputs by name and targets of one batch after the other.
        resamples: Bootstrap samples of the objective, the same ones for all models.

    Raises:
        WorkloadError: If an output is NaN or positive infinity, or a metric fails or is not a
            finite number.
    """
    fresh = [deepcopy(metric) for metric in metrics]
    decided: list[NDArray[Any]] | None = []
    samples = 0
    for outputs, targets in batches:
        check_outputs(outputs)
        samples += len(first_output(outputs))
        for metric in fresh:
            _guarded(metric.update, outputs, targets)
        largest = _largest(outputs)
        decided = None if decided is None or largest is None else [*decided, largest]
    values = {recorded_name(metric): _signed(metric, _guarded(metric.compute)) for metric in fresh}
    for name, value in values.items():
        if not math.isfinite(value):
            raise WorkloadError(f"the metric {name} must be a finite number; got {value}")
    answers = getattr(fresh[0], "answers", None)
    if answers is not None:
        found = _guarded(answers)
    else:
        found = np.concatenate(decided) if decided else None
    return Judgement(values, _resampled(fresh[0], samples, resamples), found)


def check_outputs(outputs: Outputs) -> None:
    """Raise an error if a model's outputs hold NaN or positive infinity.

    Negative infinity is allowed: it is how models exclude a choice.

    Raises:
        WorkloadError: If so, with the output's name.
    """
    for name, array in outputs.items():
        array = np.asarray(array)
        if array.dtype.kind == "f" and (np.isnan(array).any() or np.isposinf(array).any()):
            raise WorkloadError(f"the model returns NaN or infinite outputs in {name!r}")


def flipped_share(answers: NDArray[Any], baseline: NDArray[Any]) -> tuple[float, NDArray[Any]]:
    """Return the share of answers that differ from the baseline's, and that of each sample.

    Args:
        answers: Integers of shape (samples, ...).
        baseline: The baseline's, of the same shape.
    """
    count = len(answers)
    per_sample = (answers.reshape(count, -1) != baseline.reshape(count, -1)).mean(axis=1)
    return float(per_sample.mean()), per_sample


def bootstrap_rows(samples: int, count: int) -> Iterable[NDArray[np.int64]]:
    """Yield rows of bootstrap samples of a split: the same ones for all models.

    So two models' qualities can be compared sample by sample (Efron and Tibshirani, "An
    Introduction to the Bootstrap", 1993, chapter 13).
    """
    rng = np.random.default_rng(0)
    for _ in range(count):
        yield rng.integers(samples, size=samples)


def _resampled(metric: QualityMetric, samples: int, count: int) -> tuple[float, ...]:
    """Return a metric on bootstrap samples; nothing if it fails there or cannot tell.

    Some metrics need a sample of every class: then the quality has no interval.
    """
    values = metric.per_sample() if hasattr(metric, "per_sample") else None
    draw = getattr(metric, "resampled", None)
    if values is None and draw is None:
        return ()
    found = []
    for rows in bootstrap_rows(samples, count):
        try:
            value = float(np.mean(values[rows])) if values is not None else float(draw(rows))  # type: ignore[misc]
        except (Exception, SystemExit):
            return ()
        if not math.isfinite(value):
            return ()
        found.append(_signed(metric, value))
    return tuple(found)


def _signed(metric: QualityMetric, value: float) -> float:
    return value if metric.higher_is_better else 0.0 - value


def _largest(outputs: Outputs) -> NDArray[Any] | None:
    """Return the decisions of a first output that looks like classes or scores of classes."""
    first = np.asarray(first_output(outputs))
    if first.dtype.kind in "biu" and first.ndim in (1, 2) and first.size == len(first):
        return first.reshape(-1, 1).astype(np.int64)
    if first.dtype.kind == "f" and first.ndim == 2 and first.shape[1] > 1:
        return first.argmax(axis=1)[:, None]
    return None


def _guarded(call: Any, *arguments: Any) -> Any:
    try:
        return call(*arguments)
    except ParetuneError:
        raise
    except (Exception, SystemExit) as error:
        raise WorkloadError(f"the metric failed: {type(error).__name__}: {error}") from error
