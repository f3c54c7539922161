"""The choice: of the points that keep a wish, the best by what is wished for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from paretune.runners.metric import METRICS
from paretune.search.deliver.ranking import Preference, Ranking
from paretune.search.deliver.reference_speed import ReferenceSpeed
from paretune.search.record.history import History
from paretune.search.record.objective import Constraint
from paretune.search.record.trial import TrialRecord
from paretune.search.record.words import format_metric
from paretune.spaces import StudyError


@dataclass(frozen=True)
class Wish:
    """What a picked point must keep, and what is best among those that do.

    Attributes:
        max_latency_ms: Latency budget of one call, or ``None``.
        percentile: Which latency the budget is about: ``p50``, ``p90``, ``p95`` or ``p99``.
        min_quality: Lowest quality accepted, or ``None``.
        max_quality_drop: Largest loss of quality against the baseline accepted, or ``None``.
        batch_size: Only points with this batch size, or ``None``.
        runner: Only points on this runner, or ``None``.
        limits: Limits on other metrics.
        prefer: What is best; ``None`` for what follows from the limits (see :attr:`preference`).
    """

    max_latency_ms: float | None = None
    percentile: str = "p95"
    min_quality: float | None = None
    batch_size: int | None = None
    max_quality_drop: float | None = None
    runner: str | None = None
    limits: tuple[Constraint, ...] = field(default=())
    prefer: Preference | None = None

    @property
    def preference(self) -> Preference:
        """What is best among the points that keep the limits.

        Who limits only quality says what may be lost, and wants the speed that it buys: the lowest
        latency is best. In all other cases the quality is.
        """
        if self.prefer is not None:
            return self.prefer
        costs = [limit for limit in self.limits if limit.metric in METRICS]
        has_cost_limit = self.max_latency_ms is not None or bool(costs)
        has_quality_limit = (
            self.min_quality is not None
            or self.max_quality_drop is not None
            or len(costs) < len(self.limits)
        )
        return "latency" if has_quality_limit and not has_cost_limit else "accuracy"

    @property
    def is_open(self) -> bool:
        """Whether nothing is limited and nothing preferred."""
        asked = (self.max_latency_ms, self.min_quality, self.max_quality_drop, self.prefer)
        return not self.limits and all(each is None for each in asked)

    @property
    def latency_metric(self) -> str:
        """Name of the latency that the budget is about."""
        return f"latency_{self.percentile}_ms"

    def constraints(self, history: History) -> list[Constraint]:
        """Return everything wished for as limits on metrics.

        Raises:
            StudyError: If a drop is to be limited and there is no baseline to compare with, or a
                metric is unknown.
        """
        quality, found = history.quality_metric, list(self.limits)
        if self.max_latency_ms is not None:
            found.append(Constraint(self.latency_metric, maximum=self.max_latency_ms))
        if self.min_quality is not None:
            found.append(Constraint(quality, minimum=self.min_quality))
        if self.max_quality_drop is not None:
            base = baseline(history)
            if base is None:
                what = "confirmed baseline" if history.confirmed else "measured baseline yet"
                raise StudyError(
                    f"a drop of quality is one against the baseline, and the study has no {what}: "
                    f"limit the quality itself (--min-accuracy), or run `paretune confirm`"
                )
            floor = base.metrics[quality] - self.max_quality_drop
            found.append(Constraint(quality, minimum=floor))
        known = {name for record in points(history) for name in record.metrics}
        for limit in found:
            if known and limit.metric not in known:
                names = ", ".join(sorted(known))
                raise StudyError(f"no metric {limit.metric!r} was recorded; there are {names}")
        return found


def baseline(history: History) -> TrialRecord | None:
    """Return what points compare with: the baseline, measured again like them if they were.

    Returns:
        ``None`` if the points were confirmed and it was not: values of the search and fresh ones
        do not compare, least of all qualities of two splits.
    """
    if not history.confirmed:
        return history.baseline
    return next((record for record in fresh_records(history) if record.number == 0), None)


def fresh_records(history: History) -> list[TrialRecord]:
    """Return the confirmed trials with their fresh values, whether they keep the limits or not."""
    numbers = {record.number: record for record in history.records}
    return [replace(numbers[c.number], outcome=c.measurement) for c in history.confirmed]


def points(history: History) -> list[TrialRecord]:
    """Return what can be picked: the confirmed trials, with their fresh values, if there are any.

    Without a confirmation it is every measured trial, with what the search measured.
    """
    if not history.confirmed:
        return history.feasible
    return [record for record in fresh_records(history) if history.is_feasible(record)]


def choose(history: History, wish: Wish) -> TrialRecord:
    """Return the best point that keeps a wish (see :func:`rank`).

    Raises:
        StudyError: If none fits, with the nearest one and what to relax.
    """
    return rank(history, wish)[0]


def rank(history: History, wish: Wish) -> list[TrialRecord]:
    """Return the points that keep a wish, the one to pick first.

    Every feasible point is considered, the baseline among them, and ordered by what is preferred
    (:attr:`Wish.preference`, :class:`Ranking`); the first is never one that another
    beats in both quality and the latency asked for. A limit on a time, a rate or a size is held
    against the end of the interval that does not suit it; one on quality against the value (see
    :func:`excess`). A compressed model that is slower than the reference is not considered
    (:class:`ReferenceSpeed`).

    Raises:
        StudyError: If none fits, with the nearest one and what to relax.
    """
    fitting = _fitting(history, wish)
    return Ranking(fitting, history, wish.preference, wish.latency_metric).order()


def equals(fitting: Sequence[TrialRecord], history: History, wish: Wish) -> list[TrialRecord]:
    """Return the best of fitting points by its value, then those that cannot be told from it.

    One of them is picked.
    """
    return Ranking(fitting, history, wish.preference, wish.latency_metric).equals()


def _fitting(history: History, wish: Wish) -> list[TrialRecord]:
    """Return the points that keep a wish, in no order."""
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
    reference = ReferenceSpeed(fresh_records(history), history, wish.latency_metric)
    pool = [record for record in pool if not reference.beats(record)]
    if not pool:
        raise StudyError("the study has no measured point that keeps its own constraints yet")
    fitting = [r for r in pool if all(excess(r, c) <= 0 for c in limits)]
    if not fitting:
        raise StudyError(_nothing_fits(pool, limits))
    return fitting


def excess(record: TrialRecord, limit: Constraint) -> float:
    """Return how far a point breaks a limit; infinitely far if it lacks the metric.

    Times, rates and sizes are taken at the end of their interval that does not suit the limit: the
    next measurement may give it. Quality is taken at its value: the file answers the test split
    alike every time. Its interval is about other samples, and so wide with a few hundred of them
    that the baseline itself would break a limit of a small drop.
    """
    worst = _worst(record, limit)
    return np.inf if worst is None else limit.violation(worst)


def _worst(record: TrialRecord, limit: Constraint) -> float | None:
    measured = record.measurement.statistics if record.measurement else {}
    statistic = measured.get(limit.metric)
    if statistic is None:
        return None
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


def _nothing_fits(pool: Sequence[TrialRecord], limits: Sequence[Constraint]) -> str:
    """Say how far away the nearest point is, for each limit."""
    lines = ["no measured point fits; the nearest, limit by limit:"]
    for limit in limits:
        having = [r for r in pool if _worst(r, limit) is not None]
        asked = f"  {limit.metric}: asked for {format_metric(limit.metric, limit.bound)}"
        if len(having) < len(pool):
            without = [r for r in pool if _worst(r, limit) is None]
            runners = ", ".join(sorted({r.candidate.run.target for r in without}))
            lines.append(
                f"  {limit.metric} was not recorded for {len(without)} of {len(pool)} points "
                f"({runners}): they cannot keep a limit on it"
            )
        if not having:
            continue
        others = [c for c in limits if c is not limit]
        near = [r for r in having if all(excess(r, c) <= 0 for c in others)]
        best = min(near or having, key=lambda r: excess(r, limit))
        value = format_metric(limit.metric, _worst(best, limit) or 0.0)
        kept = "" if len(limits) == 1 else ", the other limits kept" if near else ", by itself"
        lines.append(
            f"{asked}, the best is {value}{kept} (trial {best.number}: {best.candidate.label})"
        )
    return "\n".join(lines)
