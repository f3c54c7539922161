"""The judge: gives outputs and targets to metrics, batch by batch, and checks what they say."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paretune.runners.workload.datasets.stored_targets import part_of, rows_of
from paretune.runners.workload.metrics.metric import Outputs, QualityMetric
from paretune.runners.workload.outputs import first_output
from paretune.spaces import ParetuneError, WorkloadError


class OutputError(WorkloadError):
    """A model's outputs are not numbers that can be judged."""


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
        OutputError: If an output is NaN or positive infinity, or a metric is not a finite number.
        WorkloadError: If a metric fails.
    """
    fresh = [deepcopy(metric) for metric in metrics]
    decided: list[NDArray[Any]] | None = []
    samples = 0
    for outputs, targets in batches:
        check_outputs(outputs)
        samples += len(first_output(outputs))
        for metric in fresh:
            guarded(metric.update, outputs, targets)
        largest = _largest(outputs)
        decided = None if decided is None or largest is None else [*decided, largest]
    values = {recorded_name(metric): _signed(metric, guarded(metric.compute)) for metric in fresh}
    for name, value in values.items():
        if not math.isfinite(value):
            raise OutputError(f"the metric {name} must be a finite number; got {value}")
    answers = getattr(fresh[0], "answers", None)
    if answers is not None:
        found = guarded(answers)
    else:
        found = np.concatenate(decided) if decided else None
    return Judgement(values, _resampled(fresh[0], samples, resamples), found)


def paired(outputs: Iterable[Outputs], targets: Iterable[Any]) -> Iterator[tuple[Outputs, Any]]:
    """Yield outputs with the targets of the same samples, whatever the sizes of their batches.

    Small batches of outputs are put together: up to a batch of targets, if their shapes agree.

    Raises:
        WorkloadError: If one of them has more samples.
    """
    source, left = iter(outputs), None
    for batch in targets:
        wanted, taken = rows_of(batch), 0
        pieces: list[Outputs] = []
        while taken < wanted:
            piece = left if left is not None else next(source, None)
            if piece is None:
                raise WorkloadError("there are fewer outputs than samples in the split")
            rows = len(first_output(piece))
            used = min(rows, wanted - taken)
            left = {n: each[used:] for n, each in piece.items()} if used < rows else None
            pieces.append({n: each[:used] for n, each in piece.items()})
            taken += used
        start = 0
        for whole in _together(pieces):
            stop = start + len(first_output(whole))
            yield whole, part_of(batch, start, stop)
            start = stop
    if left is not None or next(source, None) is not None:
        raise WorkloadError("there are more outputs than samples in the split")


def check_outputs(outputs: Outputs) -> None:
    """Raise an error if a model's outputs hold NaN or positive infinity.

    Negative infinity is allowed: it is how models exclude a choice.

    Raises:
        OutputError: If so, with the output's name.
    """
    for name, array in outputs.items():
        array = np.asarray(array)
        if array.dtype.kind == "f" and (np.isnan(array).any() or np.isposinf(array).any()):
            raise OutputError(f"the model returns NaN or infinite outputs in {name!r}")


def flipped_share(answers: NDArray[Any], baseline: NDArray[Any]) -> float:
    """Return the share of answers that differ from the baseline's.

    Args:
        answers: Integers of shape (samples, ...).
        baseline: The baseline's, of the same shape.
    """
    return float(np.mean(answers != baseline))


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


def _together(pieces: Sequence[Outputs]) -> Sequence[Outputs]:
    """Return batches of outputs as one, if each output has one shape in all of them."""
    shapes = {tuple((n, each.shape[1:]) for n, each in piece.items()) for piece in pieces}
    if len(pieces) == 1 or len(shapes) > 1:
        return pieces
    return [{name: np.concatenate([each[name] for each in pieces]) for name in pieces[0]}]


def _largest(outputs: Outputs) -> NDArray[Any] | None:
    """Return the decisions of a first output that looks like classes or scores of classes."""
    first = np.asarray(first_output(outputs))
    if first.dtype.kind in "biu" and first.ndim in (1, 2) and first.size == len(first):
        return first.reshape(-1, 1).astype(np.int64)
    if first.dtype.kind == "f" and first.ndim == 2 and first.shape[1] > 1:
        return np.asarray(first.argmax(axis=1)[:, None])
    return None


def guarded(call: Callable[..., Any], *arguments: Any) -> Any:
    """Call a metric, whose own errors become the workload's."""
    try:
        return call(*arguments)
    except ParetuneError:
        raise
    except (Exception, SystemExit) as error:
        raise WorkloadError(f"the metric failed: {type(error).__name__}: {error}") from error
