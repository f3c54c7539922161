"""Trials in words and numbers, for people."""

from __future__ import annotations

from paretune.search.record.gains import Gains
from paretune.search.record.history import History
from paretune.search.record.trial import TrialRecord

DEFAULT_METRICS = ("latency_p50_ms", "latency_p95_ms", "throughput_samples_per_s", "size_bytes")


def format_metric(name: str, value: float) -> str:
    """Return a value with its significant digits, in the unit of its name."""
    if name.endswith("_bytes"):
        return f"{value:,.0f}"
    if name.endswith("_per_s"):
        return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
    if name.endswith("_ms"):
        return f"{value:.4g}"
    return f"{value:.4f}"


def shown_metrics(history: History) -> list[str]:
    """Return the objectives' metrics, then the other usual ones."""
    return list(dict.fromkeys([*(o.metric for o in history.objectives), *DEFAULT_METRICS]))


def trial_params(record: TrialRecord) -> dict[str, str | int | float]:
    """Return the candidate's value on each axis and derived values, by name."""
    build = record.candidate.build
    return {
        **record.candidate.params,
        "runner": record.candidate.run.runner,
        "weight_bits": build.quantization.weight_bits,
        "activation_bits": build.quantization.activation_bits,
    }


def trial_numbers(record: TrialRecord, history: History) -> dict[str, float]:
    """Return every number of a trial by name: metrics, intervals, knobs and seconds.

    Knobs are included because MLflow compares params as texts. Intervals (``NAME_low``,
    ``NAME_high``) are those of objectives and limits: logging a number takes a third of a
    millisecond, and :func:`trial_markdown` has the others.
    """
    numbers = {k: float(v) for k, v in trial_params(record).items() if not isinstance(v, str)}
    numbers |= record.metrics
    sought = {goal.metric for goal in history.objectives}
    sought |= {limit.metric for limit in history.constraints}
    for name, statistic in record.measurement.statistics.items() if record.measurement else ():
        if name in sought and statistic.low is not None and statistic.high is not None:
            numbers |= {f"{name}_low": statistic.low, f"{name}_high": statistic.high}
    for stage, seconds in record.stage_seconds.items():
        numbers[f"stage_{stage.replace('-', '_')}_seconds"] = seconds
    return numbers | {"seconds": record.seconds}


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
    baseline = history.baseline
    lines += ["| metric | value | 95 % interval | baseline |", "|---|---|---|---|"]
    for name, statistic in record.measurement.statistics.items() if record.measurement else ():
        low, high = statistic.low, statistic.high
        interval = (
            f"{format_metric(name, low)} … {format_metric(name, high)}"
            if low is not None and high is not None
            else ""
        )
        # A card has counters that the baseline's processor may lack.
        was = baseline.metrics.get(name) if baseline else None
        base = "" if was is None else format_metric(name, was)
        lines.append(f"| {name} | {format_metric(name, statistic.value)} | {interval} | {base} |")
    if record.stage_seconds:
        spent = ", ".join(f"{stage} {value:.1f} s" for stage, value in record.stage_seconds.items())
        lines += ["", f"Spent: {spent}."]
    return "\n".join(lines)


def close_calls_text(history: History) -> str:
    """Return a sentence about likely but unpublished points; empty if there are none."""
    points = ", ".join(f"{point.number} ({point.probability:.2f})" for point in history.close_calls)
    return f"Close calls, not listed but available to `pick`: trial {points}." if points else ""


def gain_texts(gained: Gains) -> list[str]:
    """Return × faster, Δ quality and × smaller as texts for people."""
    return [
        f"{gained.times_faster:.1f}×",
        f"{gained.quality_change:+.4f}",
        f"{gained.times_smaller:.1f}×",
    ]
