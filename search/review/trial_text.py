"""A trial in words: what it was, where it stands and why, what it took, or why it failed."""

from __future__ import annotations

from typing import Any

import numpy as np

from paretune.search.record.confirmed import Confirmed
from paretune.search.record.history import History
from paretune.search.record.objective import losses
from paretune.search.record.trial import TrialRecord
from paretune.search.record.words import format_metric, interval_text, values_text
from paretune.search.review.shortfall import shortfalls

_MOST_NAMED = 3
"""Trials that are named as better than a trial. Chosen by judgement."""

_LEAST_SAVED_S = 0.05
"""Seconds that are told as saved: fewer would be printed as 0.0. Chosen by judgement."""

_MOST_LINES = 20
"""Lines of a failed trial's log that are shown; `--json` has all that is kept. Chosen by judgement.
"""


def trial_values(record: TrialRecord, history: History) -> dict[str, Any]:
    """Return everything that is known about a trial, ready for JSON."""
    point = _confirmed(record, history)
    return {
        **record.as_dict(),
        "standing": standing(record, history),
        "confirmed": None if point is None else point.as_dict(),
    }


def trial_lines(record: TrialRecord, history: History) -> list[str]:
    """Return a trial in lines for people."""
    lines = [f"trial {record.number}: {record.candidate.label}", *_scheme(record)]
    lines.append(standing(record, history))
    if failure := record.failure:
        lines += ["", *failure.message.strip().splitlines()]
        if said := _told_once(failure.log):
            lines += ["", "the end of its log:", *(f"  {line}" for line in said)]
    lines += _table(record, history)
    lines += shortfalls(record, history)
    if record.stage_seconds:
        spent = ", ".join(f"{name} {took:.1f} s" for name, took in record.stage_seconds.items())
        lines += ["", f"built and measured in {record.seconds:.1f} s: {spent}"]
    if record.saved_seconds >= _LEAST_SAVED_S:
        lines.append(f"stages found in the store, not run again: {record.saved_seconds:.1f} s")
    for stage, quality in record.stage_quality.items():
        lines.append(f"quality in training after {stage}: {quality:.4f}")
    if record.lineage:
        lines += ["", "stages, each with the digest of its output:"]
        lines += [f"  {stage:<14} {digest[:12]}" for stage, digest in record.lineage.items()]
    return lines


def _scheme(record: TrialRecord) -> list[str]:
    """Return a line that says what the trial's quantization does; none for fp32."""
    build = record.candidate.build
    scheme = build.quantization.record
    if scheme.mode == "none":
        return []
    left = f"; {build.fp32_layer_share:.0%} of the layers stay fp32" * bool(build.fp32_layer_share)
    bits = f"weights of {scheme.weight_bits} bits"
    if scheme.mode != "weight":
        bits += f", activations of {scheme.activation_bits}"
    return [f"{scheme.name}: {bits}; {scheme.words}{left}"]


def _told_once(log: str) -> list[str]:
    """Return the last lines of a log that say something; a repeated line is there once."""
    lines = (line.rstrip() for line in reversed(log.splitlines()))
    said = dict.fromkeys(line for line in lines if line)
    return list(reversed(list(said)[:_MOST_LINES]))


def standing(record: TrialRecord, history: History) -> str:
    """Return where a trial stands, in a sentence: published, dominated, failed, and why."""
    if record.failure:
        return f"failed in {record.failure.stage} ({record.failure.kind})"
    if record.skip:
        return f"skipped before {record.skip.before}: {record.skip.reason}"
    point = _confirmed(record, history)
    if point is not None and record.number == 0 and not point.is_published:
        return f"the baseline, measured again: a row beside the frontier ({_why_not(point)})"
    if point is not None and point.is_published:
        chance = point.row_probability
        return "published" + ("" if chance is None else f"; probability {chance:.2f}")
    if point is not None and point.same_as is not None:
        return f"measured again, and {_why_not(point)}"
    if point is not None:
        return f"measured again, but not published: {_why_not(point)}"
    if broken := [c for c in history.constraints if c.violation(record.metrics[c.metric]) > 0]:
        told = ", ".join(
            f"{c.metric} is {format_metric(c.metric, record.metrics[c.metric])}, and its limit is "
            f"{format_metric(c.metric, c.bound)}"
            for c in broken
        )
        return f"breaks a limit: {told}"
    if better := _dominating(record, history):
        named = "; ".join(
            f"trial {other.number} ({values_text(history, other.metrics)})"
            for other in better[:_MOST_NAMED]
        )
        more = len(better) - _MOST_NAMED
        return f"dominated in the search by {named}" + (f" and {more} more" if more > 0 else "")
    if not history.is_of_interest(record):
        return "on the search's frontier, but far from what is wished for, so not measured again"
    if not history.confirmed:
        return "on the search's frontier; not confirmed yet"
    return "on the search's frontier, but not measured again: `paretune confirm` does it"


def _why_not(point: Confirmed) -> str:
    """Return why a point that was measured again has no row of its own."""
    if point.same_as is not None:
        return f"cannot be told apart from trial {point.same_as}"
    return point.why_not or "others dominate it"


def _confirmed(record: TrialRecord, history: History) -> Confirmed | None:
    return next((each for each in history.confirmed if each.number == record.number), None)


def _dominating(record: TrialRecord, history: History) -> list[TrialRecord]:
    """Return the points of the search's frontier that dominate a trial."""
    own = losses([record.metrics], history.objectives)[0]
    others = [each for each in history.frontier if each.number != record.number]
    if not others:
        return []
    theirs = losses([each.metrics for each in others], history.objectives)
    better = (theirs <= own).all(axis=1) & (theirs < own).any(axis=1)
    return [others[place] for place in np.flatnonzero(better)]


def _table(record: TrialRecord, history: History) -> list[str]:
    """Return the metrics with their intervals, fresh ones if there are any, and the baseline's."""
    point = _confirmed(record, history)
    measurement = point.measurement if point else record.measurement
    if measurement is None:
        return []
    base = _confirmed(history.baseline, history) if history.baseline and point else history.baseline
    before = base.metrics if base else {}
    what = "measured again, on the test split" if point else "measured in the search"
    lines = ["", f"{what:<34}{'value':>14}  {'95 % interval':<25}{'baseline':>14}"]
    for name, statistic in measurement.statistics.items():
        then = format_metric(name, before[name]) if name in before else ""
        lines.append(
            f"  {name:<32}{format_metric(name, statistic.value):>14}  "
            f"{interval_text(name, statistic):<25}{then:>14}".rstrip()
        )
    return lines
