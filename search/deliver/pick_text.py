"""A pick in words: why this point, its gains, and the new measurement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from paretune.runners.measure.statistic import Statistic
from paretune.runners.metric import metric_of
from paretune.search.deliver.choice import (
    baseline,
    compared_latency,
    wished_limits,
    worst_end,
)
from paretune.search.deliver.paired import quality_difference
from paretune.search.deliver.recheck import Recheck
from paretune.search.record.gains import gains, speedup
from paretune.search.record.history import History
from paretune.search.record.request_time import request_text
from paretune.search.record.trial import TrialRecord
from paretune.search.record.wish import Wish
from paretune.search.record.words import format_metric, shown_metrics, unconfirmed_text
from paretune.search.review.shortfall import shortfalls

if TYPE_CHECKING:
    from paretune.search.deliver.picked import Pick


def pick_lines(picked: Pick) -> list[str]:
    """Return what was picked and why, its gains, and the new measurement, a line each."""
    record, history, wish = picked.record, picked.history, picked.wish
    lines = [f"not taken: {reason}" for reason in picked.broken]
    if not history.confirmed:
        lines.append("the study is not confirmed: these are the search's own values")
    lines.append(f"trial {record.number}: {record.candidate.label}")
    base = baseline(history)
    if base is not None and base.number == record.number:
        lines.append(
            "  this is your unchanged model: no other point that keeps the limits is better"
        )
    for name in shown_metrics(history):
        compared = f"  (baseline {format_metric(name, base.metrics[name])})" if base else ""
        lines.append(f"  {name:<26} {format_metric(name, record.metrics[name]):>12}{compared}")
    told = [_limits_text(record, history, wish), *gains_text(record, history)]
    told += [*reason_text(record, picked.equals, history, wish)]
    told += [*shortfalls(record, history), request_text(record, history)]
    told.append(f"not considered: {left}" if (left := unconfirmed_text(history)) else "")
    lines += [f"  {text}" for text in told if text]
    return [*lines, *recheck_text(picked.rechecks, history, wish)]


def _limits_text(record: TrialRecord, history: History, wish: Wish) -> str:
    """Return which limits the point keeps, with the values that count; empty without limits."""
    kept = []
    for limit in wished_limits(history, wish):
        worst = worst_end(record, limit)
        if worst is None or limit.violation(worst) > 0:
            continue
        value = format_metric(limit.metric, worst)
        if worst != record.metrics[limit.metric]:
            value += " at the end of its interval"
        sign = "≤" if limit.maximum is not None else "≥"
        kept.append(f"{limit.metric} {sign} {format_metric(limit.metric, limit.bound)} ({value})")
    return f"keeps the limits: {', '.join(kept)}" if kept else ""


def reason_text(
    record: TrialRecord, equals: Sequence[TrialRecord], history: History, wish: Wish
) -> list[str]:
    """Return why the point was picked: the implied preference, and its equals."""
    quality, lines = history.quality_metric, []
    by_quality = wish.preference == "accuracy"
    if wish.prefer is None and not by_quality:
        lines.append(
            f"only {quality} is limited, so the lowest {compared_latency(history, wish)} wins "
            f"(--prefer accuracy picks the best {quality})"
        )
    same = next((p.same_as for p in history.confirmed if p.number == record.number), None)
    if same is not None:
        lines.append(f"it cannot be told apart from trial {same}, whose row stands for both")
    if len(equals) > 1:
        what = quality if by_quality else wish.preference
        why = "the fastest" if by_quality else f"the one with the best {quality}"
        best = equals[0]
        others = "" if best.number == record.number else f"; trial {best.number} has the best value"
        base = baseline(history)
        if base is not None and base.number != record.number and base in equals:
            others += ". One of them is your unchanged model: no gain was shown"
        lines.append(
            f"{len(equals)} points cannot be told apart in {what} (within one standard error): "
            f"this is {why} of them{others}"
        )
    return lines


def gains_text(record: TrialRecord, history: History) -> list[str]:
    """Return a point's gains and losses against the baseline, and the interval of the loss."""
    base = baseline(history)
    if base is None or base.number == record.number:
        return []
    quality = history.quality_metric
    metric, found = metric_of(quality), gains(record.metrics, base.metrics, history)
    lines = [
        f"{_times(found.times_faster, 'faster', 'slower')} "
        f"({found.latency_metric}{_interval(speedup(record, base, history))}), "
        f"{found.throughput_ratio:.3g} × the throughput, "
        f"{_times(found.times_smaller, 'smaller', 'larger')}, "
        f"{quality} {metric.change(found.quality_change)} against the baseline"
    ]
    drop = quality_difference(history, base.number, record.number)
    if drop is not None:
        low, high = drop.ends
        change, least, most = (metric.change(-each) for each in (drop.value, high, low))
        lines.append(
            f"{quality} change {change} (95 %: {least} … {most}, by a paired "
            "bootstrap of the test samples)"
        )
    if differing := _other_way(record, base):
        lines.append(differing)
    return lines


def _other_way(record: TrialRecord, base: TrialRecord) -> str:
    """Return in which other way the baseline runs; empty if it is the same."""
    here, there = record.candidate.run, base.candidate.run
    names = {
        "batch": (here.batch_size, there.batch_size),
        "threads": (here.intra_op_threads, there.intra_op_threads),
    }
    differing = {name: pair for name, pair in names.items() if pair[0] != pair[1]}
    if not differing:
        return ""
    ours, theirs = (
        ", ".join(f"{name} {pair[place]}" for name, pair in differing.items()) for place in (0, 1)
    )
    return f"the gains include another way to run: {theirs} for the baseline, {ours} for this point"


def _times(ratio: float, above: str, below: str) -> str:
    return f"{ratio:.3g} × {above}" if ratio >= 1 else f"{1 / ratio:.3g} × {below}"


def _interval(faster: Statistic | None) -> str:
    """Return the interval of a factor in the words of :func:`_times`; empty if there is none."""
    if faster is None or faster.low is None:
        return ""
    ends = faster.ends if faster.value >= 1 else [1 / end for end in reversed(faster.ends)]
    return "; 95 %: " + " … ".join(f"{end:.3g}" for end in ends)


def recheck_text(rechecks: Mapping[str, Recheck], history: History, wish: Wish) -> list[str]:
    """Return the new values of the wished metrics, and of others that differ.

    The wished latency and limited metrics are always included, other metrics of the frontier only
    if their value is outside the published interval.
    """
    asked = dict.fromkeys([wish.latency_metric, *(limit.metric for limit in wish.limits)])
    names = dict.fromkeys([*asked, *shown_metrics(history)])
    return [
        f"measured just now: {rechecks[name].text}"
        for name in names
        if name in rechecks and (name in asked or not rechecks[name].is_inside)
    ]
