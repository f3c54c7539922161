"""What a study optimizes, and the limits it keeps."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from runners.metric import METRICS

Direction = Literal["maximize", "minimize"]

_WORST_RATIO = 10.0
_NO_SIZE = 1e-6


@dataclass(frozen=True, slots=True)
class Objective:
    """A recorded metric and the direction in which it is better.

    Attributes:
        metric: Name of a metric of :data:`runners.metric.METRICS`, or the workload's quality.
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
    baseline: Mapping[str, float], objectives: Sequence[Objective]
) -> NDArray[np.float64]:
    """Return the losses that hypervolumes are measured from: the baseline made worse.

    Ten times in times, rates and sizes; by its own size in a quality (so quality 0, where higher is
    better), or by 1 where it is 0 itself, as an error is.
    """
    [base] = losses([baseline], objectives)
    ratio_scale = [objective.is_ratio_scale for objective in objectives]
    size = np.where(np.abs(base) < _NO_SIZE, 1.0, np.abs(base))
    worse: NDArray[np.float64] = base + np.where(ratio_scale, np.log(_WORST_RATIO), size)
    return worse


def losses(
    rows: Sequence[Mapping[str, float]], objectives: Sequence[Objective]
) -> NDArray[np.float64]:
    """Return :meth:`Objective.loss` of each row (metrics by name): shape (rows, objectives)."""
    values = [[o.loss(row[o.metric]) for o in objectives] for row in rows]
    return np.asarray(values, dtype=np.float64).reshape(len(rows), len(objectives))
