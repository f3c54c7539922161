"""Trials in words and numbers, for people."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from paretune.runners.measure.statistic import Statistic
from paretune.runners.metric import METRICS, Place, metric_of
from paretune.search.record.gains import SHOWN_GAINS, Gains
from paretune.search.record.history import History
from paretune.search.record.trial import TrialRecord

_BESIDE_POINTS: tuple[Place, ...] = ("frontier",)

_MOST_UNCONFIRMED = 8
"""Trials that are named as not measured again. Chosen by judgement."""

_DISTURBED_TRIALS = 3
"""Last measured trials whose launches are looked at together. Chosen by judgement."""

_DISTURBED_SHARE = 0.5
"""Share of their launches that must have been disturbed to be told. Chosen by judgement."""


def format_metric(name: str, value: float) -> str:
    """Return a value with its significant digits, in the unit of its name."""
    return metric_of(name).text(value)


def interval_text(name: str, statistic: Statistic) -> str:
    """Return both ends of a metric's interval; empty without one."""
    if statistic.low is None or statistic.high is None:
        return ""
    return " … ".join(format_metric(name, end) for end in statistic.ends)


def counted(count: int, name: str) -> str:
    """Return a number of things, such as "1 trial" and "2 trials"."""
    return f"{count:,} {name}" + ("" if count == 1 else "s")


def named_trials(numbers: Sequence[int]) -> str:
    """Return trials by their numbers, such as "trial 1" and "trials 1, 2"."""
    return f"trial{'' if len(numbers) == 1 else 's'} {', '.join(map(str, numbers))}"


def unconfirmed_text(history: History) -> str:
    """Return which points of the search frontier were not measured again; empty if all were."""
    left = [record.number for record in history.unconfirmed]
    if not left:
        return ""
    named = named_trials(left[:_MOST_UNCONFIRMED]) + ", …" * (len(left) > _MOST_UNCONFIRMED)
    were = "was" if len(left) == 1 else "were"
    return (
        f"{counted(len(left), 'more point')} of the search frontier {were} "
        f"not measured again ({named}): `paretune confirm` does it"
    )


def goals_text(history: History) -> str:
    """Return the objectives in words, each with the direction in which it is better."""
    return ", ".join(f"{goal.metric} {goal.arrow}" for goal in history.objectives)


def values_text(history: History, metrics: Mapping[str, float]) -> str:
    """Return a point's value of each objective in words."""
    return ", ".join(
        f"{goal.metric} {format_metric(goal.metric, metrics[goal.metric])}"
        for goal in history.objectives
    )


def disturbance_text(history: History) -> str:
    """Return that other work disturbs the measurements, in words; empty if it does not.

    Disturbed launches are repeated, so nobody would see it in the values.
    """
    last = [each.measurement for each in history.measured[-_DISTURBED_TRIALS:] if each.measurement]
    disturbed = sum(each.contaminated_launches for each in last)
    launches = sum(each.launches for each in last)
    if len(last) < _DISTURBED_TRIALS or disturbed < _DISTURBED_SHARE * launches:
        return ""
    base = history.baseline.measurement if history.baseline else None
    is_base_disturbed = base is not None and base.contaminated_launches > 0
    unsure = ". Trial 0 was disturbed, too, so gains are unsure until they are confirmed"
    return (
        f"something else uses the cores of the measurement: {disturbed} launches of the last "
        f"{len(last)} trials were disturbed, and {launches} are needed"
        f"{unsure if is_base_disturbed else ''}. Disturbed launches are repeated, so trials take "
        "longer, and intervals are wider. If you can, end what else runs here"
    )


def shown_metrics(history: History, places: Collection[Place] = _BESIDE_POINTS) -> list[str]:
    """Return the objectives' metrics, then the others that these places show."""
    others = (metric.name for metric in METRICS.values() if metric.shown in places)
    return list(dict.fromkeys([*(goal.metric for goal in history.objectives), *others]))


def with_interval(name: str, statistic: Statistic) -> dict[str, float | None]:
    """Return a metric's value and the ends of its interval by name, as every file has them."""
    metric = metric_of(name)
    return {name: statistic.value, metric.low: statistic.low, metric.high: statistic.high}


def metric_table(
    names: Iterable[str], statistics: Mapping[str, Statistic], baseline: TrialRecord | None
) -> list[str]:
    """Return a Markdown table of metrics with their intervals, beside the baseline's values.

    Metrics that were not recorded are left out.
    """
    lines = ["| metric | value | 95 % interval | baseline |", "|---|---|---|---|"]
    for name in names:
        if (statistic := statistics.get(name)) is not None:
            # A card has counters that the baseline's processor may lack.
            before = baseline.metrics.get(name) if baseline else None
            base = "" if before is None else format_metric(name, before)
            cells = [name, format_metric(name, statistic.value), interval_text(name, statistic)]
            lines.append(f"| {' | '.join([*cells, base])} |")
    return lines


def trial_markdown(record: TrialRecord, history: History) -> str:
    """Return one trial as Markdown."""
    lines = [f"**{record.candidate.label}**", ""]
    if record.failure:
        lines += [
            f"Failed in stage **{record.failure.stage}**: {record.failure.kind}.",
            "",
            f"> {record.failure.message.strip().splitlines()[0]}",
        ]
        if record.failure.log:
            lines += ["", "```", record.failure.log[-2000:], "```"]
        return "\n".join(lines)
    if record.skip:
        lines += [f"Skipped before **{record.skip.before}**: {record.skip.reason}.", ""]
        return "\n".join(lines)
    statistics = record.measurement.statistics if record.measurement else {}
    lines += metric_table(statistics, statistics, history.baseline)
    if record.stage_seconds:
        spent = ", ".join(f"{stage} {value:.1f} s" for stage, value in record.stage_seconds.items())
        lines += ["", f"Spent: {spent}."]
    return "\n".join(lines)


def close_calls_text(history: History) -> str:
    """Return a sentence about likely but unpublished points; empty if there are none."""
    base = history.baseline  # has a row of its own
    calls = [p for p in history.close_calls if base is None or p.number != base.number]
    points = ", ".join(f"{point.number} ({point.probability:.2f})" for point in calls)
    return f"Close calls, not listed but available to `pick`: trial {points}." if points else ""


def gain_texts(gained: Gains) -> list[str]:
    """Return the gains that tables show, as texts for people."""
    return [gain.text(getattr(gained, gain.name)) for gain in SHOWN_GAINS]
