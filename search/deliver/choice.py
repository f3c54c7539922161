"""The choice: the best of the points that keep a wish."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from paretune.runners.metric import calls_for, is_quality, metric_of, percentile_of
from paretune.search.deliver.ranking import Ranking
from paretune.search.deliver.reference_speed import ReferenceSpeed
from paretune.search.record.history import History
from paretune.search.record.objective import Constraint
from paretune.search.record.trial import TrialRecord
from paretune.search.record.wish import Wish
from paretune.search.record.words import format_metric
from paretune.spaces import StudyError

_MOST_NAMED = 5
"""Trials that are named as worth another measurement. Chosen by judgement."""


def wished_limits(history: History, wish: Wish) -> list[Constraint]:
    """Return a wish as limits on the metrics of a study's points.

    Raises:
        StudyError: If a drop is limited without a baseline to compare with, or a metric is unknown.
    """
    base = baseline(history)
    if base is None and wish.max_quality_drop is not None:
        what = "confirmed baseline" if history.confirmed else "measured baseline yet"
        raise StudyError(
            f"a drop of quality is relative to the baseline, but the study has no {what}: "
            "limit the quality itself (--min-accuracy), or run `paretune confirm`"
        )
    found = wish.constraints(base.metrics if base else {}, history.quality_metric)
    known = {name for record in points(history) for name in record.metrics}
    for limit in found:
        if known and limit.metric not in known:
            names = ", ".join(sorted(known))
            raise StudyError(f"there is no recorded metric {limit.metric!r}; there are {names}")
    return list(found)


def baseline(history: History) -> TrialRecord | None:
    """Return the baseline for comparisons, measured in the same way as the points.

    Returns:
        ``None`` if the points were confirmed and the baseline was not: values of the search and
        fresh ones are not comparable, least of all qualities of two splits.
    """
    if not history.confirmed:
        return history.baseline
    return next((record for record in fresh_records(history) if record.number == 0), None)


def fresh_records(history: History) -> list[TrialRecord]:
    """Return the confirmed trials with their fresh values, also those that break limits."""
    numbers = {record.number: record for record in history.records}
    return [replace(numbers[c.number], outcome=c.measurement) for c in history.confirmed]


def points(history: History) -> list[TrialRecord]:
    """Return the points to pick from: the confirmed trials with their fresh values, if any.

    Without a confirmation, these are all measured trials with the search's values.
    """
    if not history.confirmed:
        return history.feasible
    return [record for record in fresh_records(history) if history.is_feasible(record)]


def choose(history: History, wish: Wish) -> TrialRecord:
    """Return the best point that keeps a wish (see :func:`rank`).

    Raises:
        StudyError: If none fits, with the nearest one and what to relax.
    """
    return rank(history, wish, 1)[0]


def rank(history: History, wish: Wish, most: int | None = None) -> list[TrialRecord]:
    """Return the points that keep a wish, beginning with the one to pick.

    Every feasible point is considered, including the baseline, and ordered by preference
    (:attr:`Wish.preference`, :class:`Ranking`); no other point beats the first in both quality and
    the wished latency. A limit on a time, rate or size is compared with the unfavourable end of the
    interval, a limit on quality with the value (see :func:`excess`). A compressed model that is
    slower than the reference is not considered (:class:`ReferenceSpeed`).

    Args:
        history: The study.
        wish: The wish.
        most: How many to return; all by default.

    Raises:
        StudyError: If none fits, with the nearest one and what to relax.
    """
    pool = fitting(history, wish)
    return Ranking(pool, history, wish.preference, compared_latency(history, wish)).order(most)


def equals(pool: Sequence[TrialRecord], history: History, wish: Wish) -> list[TrialRecord]:
    """Return the best fitting point by its value, then those that cannot be told apart from it.

    One of them is picked.
    """
    return Ranking(pool, history, wish.preference, compared_latency(history, wish)).equals()


def compared_latency(history: History, wish: Wish) -> str:
    """Return the latency by which one point is faster than another: the wish's, of the model.

    Where a study seeks the time of whole requests and not that of the model, it is the former.
    """
    sought = [goal.metric for goal in history.objectives if metric_of(goal.metric).is_latency]
    if sought and all(metric_of(name).needs == "pipeline" for name in sought):
        return sought[0]
    return wish.latency_metric


def fitting(history: History, wish: Wish) -> list[TrialRecord]:
    """Return the points that keep a wish, in no order.

    Raises:
        StudyError: If none fits, with the nearest one and what to relax.
    """
    limits = wished_limits(history, wish)
    pool = points(history)
    if without := [record for record in pool if wish.latency_metric not in record.metrics]:
        calls = calls_for(percentile_of(wish.latency_metric))
        raise StudyError(
            f"{wish.latency_metric} was not recorded for {len(without)} of {len(pool)} points: it "
            f"takes {calls} calls in each launch, and theirs had fewer. Write `wish: {{percentile: "
            f"{wish.percentile}}}` into the study file and run `paretune confirm`, or pick by "
            "another --percentile"
        )
    if wish.batch_size is not None:
        sizes = sorted({record.candidate.run.batch_size for record in pool})
        pool = [record for record in pool if record.candidate.run.batch_size == wish.batch_size]
        if not pool:
            raise StudyError(
                f"no measured point has batch size {wish.batch_size}; there are {sizes}"
            )
    if wish.runner is not None:
        runners = sorted({record.candidate.run.runner for record in pool})
        pool = [record for record in pool if record.candidate.run.runner == wish.runner]
        if not pool:
            raise StudyError(f"no measured point is on runner {wish.runner!r}; there are {runners}")
    reference = ReferenceSpeed(fresh_records(history), history, wish.latency_metric)
    pool = [record for record in pool if not reference.beats(record)]
    if not pool:
        raise StudyError("the study has no measured point yet that keeps its own constraints")
    kept = [r for r in pool if all(excess(r, c) <= 0 for c in limits)]
    if not kept:
        raise StudyError(_nothing_fits(pool, limits) + _unconfirmed(history, wish, limits))
    return kept


def excess(record: TrialRecord, limit: Constraint) -> float:
    """Return how far a point breaks a limit; infinitely far if it lacks the metric.

    Times, rates and sizes are taken at the unfavourable end of their interval, because the next
    measurement may give that. Quality is taken at its value: the file gives the same answers on the
    test split every time. Its interval is about other samples, and with a few hundred of them so
    wide that the baseline itself would break a limit of a small drop.
    """
    worst = worst_end(record, limit)
    return np.inf if worst is None else limit.violation(worst)


def worst_end(record: TrialRecord, limit: Constraint) -> float | None:
    """Return the value that is compared with a limit (see :func:`excess`), if there is one."""
    measured = record.measurement.statistics if record.measurement else {}
    statistic = measured.get(limit.metric)
    if statistic is None:
        return None
    if is_quality(limit.metric):
        return statistic.value
    return max(statistic.ends, key=limit.violation)


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


def _unconfirmed(history: History, wish: Wish, limits: Sequence[Constraint]) -> str:
    """Return which trials fit by the search's own values alone, as a line; empty if none."""
    if not history.confirmed:
        return ""  # these were the values that did not fit
    known = {point.number for point in history.confirmed}
    fit = [
        str(record.number)
        for record in history.feasible
        if record.number not in known and wish.has_batch(record.candidate)
        if wish.runner in (None, record.candidate.run.runner)
        if all(limit.violation(record.metrics.get(limit.metric, np.nan)) <= 0 for limit in limits)
    ]
    if not fit:
        return ""
    named = ", ".join(fit[:_MOST_NAMED]) + ", …" * (len(fit) > _MOST_NAMED)
    return (
        f"\nBy the search's brief measurements these trials fit: {named}. They were not measured "
        "again: `paretune confirm` does it, and then they can be picked"
    )


def _nothing_fits(pool: Sequence[TrialRecord], limits: Sequence[Constraint]) -> str:
    """Describe how far away the nearest point is, for each limit."""
    lines = ["no measured point fits; the nearest point per limit:"]
    for limit in limits:
        having = [r for r in pool if worst_end(r, limit) is not None]
        asked = f"  {limit.metric}: limit {format_metric(limit.metric, limit.bound)}"
        if len(having) < len(pool):
            without = [r for r in pool if worst_end(r, limit) is None]
            runners = ", ".join(sorted({r.candidate.run.target for r in without}))
            lines.append(
                f"  {limit.metric} was not recorded for {len(without)} of {len(pool)} points "
                f"({runners}), which cannot keep a limit on it"
            )
        if not having:
            continue
        others = [c for c in limits if c is not limit]
        near = [r for r in having if all(excess(r, c) <= 0 for c in others)]
        best = min(near or having, key=lambda r: excess(r, limit))
        worst = worst_end(best, limit) or 0.0
        value = format_metric(limit.metric, worst)
        if worst != best.metrics[limit.metric]:
            measured = format_metric(limit.metric, best.metrics[limit.metric])
            towards = "up" if limit.maximum is not None else "down"
            value = f"{measured} ({towards} to {value}: the end of the interval counts)"
        kept = (
            ""
            if len(limits) == 1
            else ", within the other limits"
            if near
            else ", without other limits"
        )
        lines.append(
            f"{asked}, the best is {value}{kept} (trial {best.number}: {best.candidate.label})"
        )
    return "\n".join(lines)
