"""What a study optimizes, and the limits it keeps."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from paretune.runners.metric import METRICS

Direction = Literal["maximize", "minimize"]

MOST_OBJECTIVES = 3
"""As many as our own strategy takes: its boxes are exact up to three dimensions."""

_WORST_RATIO = 10.0
"""How much worse than the baseline a time, rate or size may be and still count."""

_LARGEST_DROP = 0.1
"""Share of the baseline's quality that may be lost and still count.

Twice what people accept when they are asked (1 to 5 %), because what lies at the reference point
itself counts nothing. Measured from quality 0, the few points near the baseline's quality, which
are those that are picked, were worth hardly more than fast ones of no use: on a frontier of digits
giving up the best accuracy cost 0.8 % of the hypervolume.
"""

_BEYOND = 0.25
"""How far beyond a wished limit the reference point lies, so that what just keeps it counts.

Values from 0.1 to 1 made no difference that 24 simulated searches could show.
"""

_LEAST_BEYOND = 1e-3
_NO_SIZE = 1e-6


@dataclass(frozen=True, slots=True)
class Objective:
    """A recorded metric and the direction in which it is better.

    Attributes:
        metric: Name of a metric of :data:`METRICS`, or the workload's quality.
        direction: ``"maximize"`` or ``"minimize"``.
    """

    metric: str
    direction: Direction

    @property
    def is_ratio_scale(self) -> bool:
        """Whether only ratios of the metric matter (times, rates, sizes)."""
        return self.metric in METRICS and METRICS[self.metric].is_ratio_scale

    def loss(self, value: float) -> float:
        """Return a number that is lower the better the value, on a scale where steps are equal.

        Times, rates and sizes become natural logarithms: half the latency is worth as much at
        1 ms as at 100 ms.
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
        minimum: Lowest value allowed, if any.
        maximum: Highest value allowed, if any.
    """

    metric: str
    minimum: float | None = None
    maximum: float | None = None

    @property
    def bound(self) -> float:
        """The value asked for: the highest allowed if there is one, else the lowest."""
        return self.maximum if self.maximum is not None else self.minimum or 0.0

    @property
    def direction(self) -> Direction:
        """The direction that leads away from the limit, to where it is kept."""
        return "minimize" if self.maximum is not None else "maximize"

    def violation(self, value: float) -> float:
        """Return how far a value breaks the limit, in the metric's unit; 0 or less keeps it."""
        over = [] if self.maximum is None else [value - self.maximum]
        under = [] if self.minimum is None else [self.minimum - value]
        return max(over + under)


def default_objectives(quality_metric: str) -> tuple[Objective, ...]:
    """Return quality up, p95 latency down, throughput up."""
    return (
        Objective(quality_metric, "maximize"),
        Objective("latency_p95_ms", "minimize"),
        Objective("throughput_samples_per_s", "maximize"),
    )


def natural_direction(metric: str) -> Direction:
    """Return the direction in which a metric is better; a workload's quality is better higher."""
    higher = metric not in METRICS or METRICS[metric].higher_is_better
    return "maximize" if higher else "minimize"


def reference_point(
    baseline: Mapping[str, float],
    objectives: Sequence[Objective],
    wished: Sequence[Constraint] = (),
    batches: float = 1.0,
) -> NDArray[np.float64]:
    """Return the losses that hypervolumes are measured from: shape (objectives,).

    Where a limit is wished for, the reference lies a little beyond it: a quarter in times, rates
    and sizes; in a quality a quarter of the drop from the baseline to the limit, and at least 0.1 %
    of the baseline's quality.

    Elsewhere it is the baseline made worse. In times, rates and sizes ten times; if larger calls
    are wished for, what is better low (a time) by as many times more as they are larger. In a
    quality by a tenth of the way to zero (accuracy 0.98: 0.882). A negative quality, which is an
    error with its sign turned, may double. A quality that is zero itself, as an error against the
    model's own outputs is, has no scale of its own, and 1 is taken.

    Args:
        baseline: The baseline's metrics.
        objectives: The goals, in the order of the result.
        wished: Limits that a person means to pick by; those on other metrics change nothing.
        batches: How many times the baseline's batch a call will hold.
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
    """Return how much quality may be lost and still count, from the baseline's loss."""
    if abs(loss) < _NO_SIZE:
        return 1.0
    return abs(loss) * (_LARGEST_DROP if loss < 0 else 1.0)


def losses(
    rows: Sequence[Mapping[str, float]], objectives: Sequence[Objective]
) -> NDArray[np.float64]:
    """Return :meth:`Objective.loss` of each row (metrics by name): shape (rows, objectives)."""
    values = [[o.loss(row[o.metric]) for o in objectives] for row in rows]
    return np.asarray(values, dtype=np.float64).reshape(len(rows), len(objectives))
