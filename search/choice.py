"""The choice: the most accurate point that keeps a budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from runners.metric import METRICS
from runners.statistic import Statistic
from search.history import History
from search.objective import Constraint
from search.summary import format_metric
from search.trial import TrialRecord
from spaces import StudyError


@dataclass(frozen=True)
class Wish:
    """What a picked point must keep.

    Attributes:
        max_latency_ms: Latency budget of one call, or ``None``.
        percentile: Which latency the budget is about: ``p50``, ``p90``, ``p95`` or ``p99``.
        min_quality: Lowest quality accepted, or ``None``.
        max_quality_drop: Largest loss of quality against the baseline accepted, or ``None``.
        batch_size: Only points with this batch size, or ``None``.
        runner: Only points on this runner, or ``None``.
        limits: Limits on other metrics.
    """

    max_latency_ms: float | None = None
    percentile: str = "p95"
    min_quality: float | None = None
    batch_size: int | None = None
    max_quality_drop: float | None = None
    runner: str | None = None
    limits: tuple[Constraint, ...] = field(default=())

    @property
    def latency_metric(self) -> str:
        """Name of the latency that the budget is about."""
        return f"latency_{self.percentile}_ms"

    def constraints(self, history: History) -> list[Constraint]:
        """Return everything wished for as limits on metrics.

        Raises:
            StudyError: If a drop is to be limited and there is no baseline, or a metric is unknown.
        """
        quality, found = history.quality_metric, list(self.limits)
        if self.max_latency_ms is not None:
            found.append(Constraint(self.latency_metric, maximum=self.max_latency_ms))
        if self.min_quality is not None:
            found.append(Constraint(quality, minimum=self.min_quality))
        if self.max_quality_drop is not None:
            base = baseline(history)
            if base is None:
                raise StudyError("the study has no baseline to compare the quality with yet")
            floor = base.metrics[quality] - self.max_quality_drop
            found.append(Constraint(quality, minimum=floor))
        known = {name for record in points(history) for name in record.metrics}
        for limit in found:
            if known and limit.metric not in known:
                names = ", ".join(sorted(known))
                raise StudyError(f"no metric {limit.metric!r} was recorded; there are {names}")
        return found


def baseline(history: History) -> TrialRecord | None:
    """Return what points compare with: the baseline, measured again like them if they were."""
    return next((r for r in points(history) if r.number == 0), history.baseline)


def points(history: History) -> list[TrialRecord]:
    """Return what can be picked: the confirmed trials, with their fresh values, if there are any.

    Without a confirmation it is every measured trial, with what the search measured.
    """
    if not history.confirmed:
        return history.feasible
    numbers = {record.number: record for record in history.records}
    fresh = [replace(numbers[c.number], outcome=c.measurement) for c in history.confirmed]
    return [record for record in fresh if history.is_feasible(record)]


def choose(history: History, wish: Wish) -> TrialRecord:
    """Return the most accurate point that keeps a wish; of equals, the fastest.

    Raises:
        StudyError: If none fits, with the nearest one and what to relax.
    """
    return rank(history, wish)[0]


def rank(history: History, wish: Wish) -> list[TrialRecord]:
    """Return the points that keep a wish, the one to pick first.

    Every feasible point is considered, the baseline among them, so the first is never one that
    another beats in both quality and the latency asked for. A limit on a time, a rate or a size is
    held against the end of the interval that does not suit it. A compressed model that is slower
    than the reference was at the same batch size is not considered.

    Raises:
        StudyError: If none fits, with the nearest one and what to relax.
    """
    quality_metric = history.quality_metric
    limits = wish.constraints(history)
    pool = points(history)
    if wish.batch_size is not None:
        sizes = sorted({record.candidate.run.batch_size for record in pool})
        pool = [record for record in pool if record.candidate.run.batch_size == wish.batch_size]
        if not pool:
            raise StudyError(
                f"no measured point has batch size {wish.batch_size}; measured were {sizes}"
            )
    if wish.runner is not None:
        runners = sorted({record.candidate.run.runner for record in pool})
        pool = [record for record in pool if record.candidate.run.runner == wish.runner]
        if not pool:
            raise StudyError(f"no measured point is on runner {wish.runner!r}; there are {runners}")
    pool = [record for record in pool if not _is_slower_than_reference(record, history, wish)]
    if not pool:
        raise StudyError("the study has no measured point that keeps its own constraints yet")
    fitting = [r for r in pool if all(excess(r, c) <= 0 for c in limits)]
    if not fitting:
        raise StudyError(_nothing_fits(pool, limits))
    return sorted(
        fitting,
        key=lambda r: (
            -r.metrics[quality_metric],
            r.metrics[wish.latency_metric],
            -r.metrics["throughput_samples_per_s"],
            r.number,
        ),
    )


def excess(record: TrialRecord, limit: Constraint) -> float:
    """Return how far a point breaks a limit, at the end of its interval that does not suit it."""
    return limit.violation(_worst(record, limit))


def _worst(record: TrialRecord, limit: Constraint) -> float:
    measured = record.measurement.statistics if record.measurement else {}
    statistic = measured.get(limit.metric) or Statistic(record.metrics[limit.metric])
    is_quality = limit.metric not in METRICS
    return statistic.value if is_quality else max(statistic.ends, key=limit.violation)


def knee(history: History, wish: Wish) -> TrialRecord | None:
    """Return the point after which quality costs disproportionately more latency.

    On the frontier of quality and the logarithm of latency, both scaled to [0, 1], it is the point
    farthest from the line between the two ends (Das, "On characterizing the knee of the Pareto
    curve", 1999, https://doi.org/10.1007/BF01195985). ``None`` with fewer than three points.
    """
    pool = sorted(points(history), key=lambda r: r.metrics[wish.latency_metric])
    front: list[TrialRecord] = []
    for record in pool:
        best = front[-1].metrics[history.quality_metric] if front else -np.inf
        if record.metrics[history.quality_metric] > best:
            front.append(record)
    if len(front) < 3:
        return None
    x = np.log([record.metrics[wish.latency_metric] for record in front])
    y = np.array([record.metrics[history.quality_metric] for record in front])
    x, y = (x - x[0]) / (x[-1] - x[0]), (y - y[0]) / (y[-1] - y[0])
    return front[int(np.argmax(y - x))]


def _is_slower_than_reference(record: TrialRecord, history: History, wish: Wish) -> bool:
    build, run = record.candidate.build, record.candidate.run
    references = [
        other.metrics[wish.latency_metric]
        for other in history.measured
        if not other.candidate.build.is_compressed
        and other.candidate.run.batch_size == run.batch_size
    ]
    return build.is_compressed and record.metrics[wish.latency_metric] > min(
        references, default=float(record.metrics[wish.latency_metric])
    )


def _nothing_fits(pool: Sequence[TrialRecord], limits: Sequence[Constraint]) -> str:
    """Say how far away the nearest point is, for each limit."""
    lines = ["no measured point fits; the nearest, limit by limit:"]
    for limit in limits:
        others = [c for c in limits if c is not limit]
        near = [r for r in pool if all(excess(r, c) <= 0 for c in others)]
        best = min(near or pool, key=lambda r: excess(r, limit))
        value = format_metric(limit.metric, _worst(best, limit))
        kept = "" if len(limits) == 1 else ", the other limits kept" if near else ", by itself"
        lines.append(
            f"  {limit.metric}: asked for {format_metric(limit.metric, limit.bound)}, the best "
            f"is {value}{kept} (trial {best.number}: {best.candidate.label})"
        )
    return "\n".join(lines)
