"""The objectives and constraints of a study."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from paretune.runners.metric import (
    THROUGHPUT,
    USUAL_LATENCY,
    Direction,
    metric_of,
)

_WORST_RATIO = 10.0
"""Factor by which a time, rate or size may be worse than the baseline's and still count."""

_LARGEST_DROP = 0.1
"""Share of the baseline's quality that may be lost and still count.

Twice what people accept when asked (1 to 5 %), because the reference point itself counts nothing.
Measured from quality 0, the few points near the baseline's quality, which are the points that
people pick, were worth hardly more than fast but useless ones: on a frontier of digits, giving up
the best accuracy cost 0.8 % of the hypervolume.
"""

_BEYOND = 0.25
"""Distance of the reference point beyond a limit of the wish, so that points just inside count.

Evidence: 24 simulated searches showed no difference between values from 0.1 to 1.
"""

_LEAST_BEYOND = 1e-3
"""Least distance of the reference point beyond a limit on quality, as a share of the baseline's
quality: a limit at the baseline would leave nothing to count. Chosen by judgement.
"""

_NO_SIZE = 1e-6
"""Quality that counts as zero, and so has no scale."""


@dataclass(frozen=True, slots=True)
class Objective:
    """A recorded metric and the direction in which it is better.

    Attributes:
        metric: Name of a recorded metric, or the workload's quality.
        direction: ``"maximize"`` or ``"minimize"``.
    """

    metric: str
    direction: Direction

    @property
    def is_ratio_scale(self) -> bool:
        """Whether only ratios of the metric matter (times, rates, sizes)."""
        return metric_of(self.metric).is_ratio_scale

    @property
    def is_of_file(self) -> bool:
        """Whether the metric belongs to the file, however that is run (quality, size)."""
        return metric_of(self.metric).is_of_file

    def loss(self, value: float) -> float:
        """Return a number that is lower for a better value, on a scale of equal steps.

        Times, rates and sizes become natural logarithms: halving the latency is worth as much at 1
        ms as at 100 ms.
        """
        scaled = math.log(value) if self.is_ratio_scale else value
        return -scaled if self.direction == "maximize" else scaled

    def value(self, loss: float) -> float:
        """Undo :meth:`loss`."""
        scaled = -loss if self.direction == "maximize" else loss
        return math.exp(scaled) if self.is_ratio_scale else scaled

    @property
    def arrow(self) -> str:
        """An arrow for table heads."""
        return "↑" if self.direction == "maximize" else "↓"


@dataclass(frozen=True, slots=True)
class Constraint:
    """A limit on a recorded metric.

    Attributes:
        metric: Name of the metric.
        minimum: Minimum, if any.
        maximum: Maximum, if any.
    """

    metric: str
    minimum: float | None = None
    maximum: float | None = None

    @property
    def bound(self) -> float:
        """The limit: the maximum if there is one, else the minimum."""
        return self.maximum if self.maximum is not None else self.minimum or 0.0

    @property
    def direction(self) -> Direction:
        """The direction away from the limit, towards values that keep it."""
        return "minimize" if self.maximum is not None else "maximize"

    def violation(self, value: float) -> float:
        """Return how far a value breaks the limit, in the metric's unit; 0 or less keeps it."""
        over = [] if self.maximum is None else [value - self.maximum]
        under = [] if self.minimum is None else [self.minimum - value]
        return max(over + under)


def default_objectives(quality_metric: str) -> tuple[Objective, ...]:
    """Return quality up, p95 latency down, throughput up."""
    return (
        Objective(quality_metric, metric_of(quality_metric).direction),
        Objective(USUAL_LATENCY, metric_of(USUAL_LATENCY).direction),
        Objective(THROUGHPUT, metric_of(THROUGHPUT).direction),
    )


def reference_point(
    baseline: Mapping[str, float],
    objectives: Sequence[Objective],
    wished: Sequence[Constraint] = (),
    batches: float = 1.0,
) -> NDArray[np.float64]:
    """Return the losses that hypervolumes are measured from: shape (objectives,).

    For a metric with a limit in the wish, the reference lies a little beyond the limit: a quarter
    for times, rates and sizes; for a quality, a quarter of the drop from the baseline to the limit,
    but at least 0.1 % of the baseline's quality.

    For any other metric it is the baseline made worse: for times, rates and sizes by a factor of
    ten (and if the wish is for larger batches, times by the ratio of batch sizes on top); for a
    quality by a tenth of its value (accuracy 0.98: 0.882). A negative quality, which is a negated
    error, may double. A quality of zero, such as an error against the model's own outputs, has no
    scale, and 1 is used.

    Args:
        baseline: The baseline's metrics.
        objectives: The goals, in the order of the result.
        wished: Limits of the wish; limits on other metrics change nothing.
        batches: Ratio of the future batch size to the baseline's.
    """
    reference = []
    for goal in objectives:
        base = goal.loss(baseline[goal.metric])
        bounds = [goal.loss(limit.bound) for limit in wished if limit.metric == goal.metric]
        if goal.is_ratio_scale and bounds:
            end = min(bounds) + math.log(1 + _BEYOND)
        elif goal.is_ratio_scale:
            larger = max(batches, 1.0) if goal.direction == "minimize" else 1.0
            end = base + math.log(_WORST_RATIO * larger)
        elif bounds:
            least = max(_LEAST_BEYOND * abs(base), _NO_SIZE)
            end = min(bounds) + max(_BEYOND * abs(min(bounds) - base), least)
        else:
            end = base + _default_drop(base)
        reference.append(end)
    return np.asarray(reference, dtype=np.float64)


def _default_drop(loss: float) -> float:
    """Return the loss of quality that still counts, from the baseline's loss."""
    if abs(loss) < _NO_SIZE:
        return 1.0
    return abs(loss) * (_LARGEST_DROP if loss < 0 else 1.0)


def losses(
    rows: Sequence[Mapping[str, float]], objectives: Sequence[Objective]
) -> NDArray[np.float64]:
    """Return :meth:`Objective.loss` of each row (metrics by name): shape (rows, objectives)."""
    values = [[o.loss(row[o.metric]) for o in objectives] for row in rows]
    return np.asarray(values, dtype=np.float64).reshape(len(rows), len(objectives))
