"""Trials and studies in words and tables, for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from search.history import History
from search.trial import TrialRecord
from spaces import AXIS_NAMES

_FRONTIER_ROWS = 30  # MLflow cuts a description at 8,000 characters
DEFAULT_METRICS = ("latency_p50_ms", "latency_p95_ms", "throughput_samples_per_s", "size_bytes")


def format_metric(name: str, value: float) -> str:
    """Return a value with the digits that mean something, in the unit its name says."""
    if name.endswith("_bytes"):
        return f"{value:,.0f}"
    if name.endswith("_per_s"):
        return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
    if name.endswith("_ms"):
        return f"{value:.4g}"
    return f"{value:.4f}"


def shown_metrics(history: History) -> list[str]:
    """Return the objectives' metrics, then the usual ones that are not among them."""
    return list(dict.fromkeys([*(o.metric for o in history.objectives), *DEFAULT_METRICS]))


def trial_table(
    records: Sequence[TrialRecord], history: History
) -> tuple[list[str], list[list[Any]]]:
    """Return column names and rows of plain values, one row a measured trial."""
    metrics = shown_metrics(history)
    columns = ["trial", *AXIS_NAMES, *metrics, "artifact"]
    rows = [
        [
            record.number,
            *(record.candidate.params[name] for name in AXIS_NAMES),
            *(record.metrics[name] for name in metrics),
            record.measurement.artifact,
        ]
        for record in records
        if record.measurement
    ]
    return columns, rows


def trial_params(record: TrialRecord) -> dict[str, str | int | float]:
    """Return what was tried, by name: the candidate's value on each axis, and what follows."""
    build = record.candidate.build
    return {
        **record.candidate.params,
        "runner": record.candidate.run.runner,
        "weight_bits": build.quantization.weight_bits,
        "activation_bits": build.quantization.activation_bits,
    }


def trial_numbers(record: TrialRecord, history: History) -> dict[str, float]:
    """Return every number of a trial by name: metrics, intervals, knobs and times spent.

    Knobs are among them because MLflow compares params as texts. Intervals (``NAME_low``,
    ``NAME_high``) are those of objectives and limits: to log a number takes a third of a
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
    """Return one trial's story in Markdown."""
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
        base = format_metric(name, baseline.metrics[name]) if baseline else ""
        lines.append(f"| {name} | {format_metric(name, statistic.value)} | {interval} | {base} |")
    if record.stage_seconds:
        spent = ", ".join(f"{stage} {value:.1f} s" for stage, value in record.stage_seconds.items())
        lines += ["", f"Spent: {spent}."]
    return "\n".join(lines)


def likely_text(history: History) -> str:
    """Return a sentence about what is likely and not published; empty if there is nothing."""
    if not history.likely:
        return ""
    points = ", ".join(f"{point.number} ({point.probability:.2f})" for point in history.likely)
    return (
        f"Likely too (P), but clearly better in nothing than a likelier point: trial {points}; "
        f"pick considers them."
    )


def study_markdown(name: str, history: History, definition: Mapping[str, Any]) -> str:
    """Return a study's story in Markdown.

    Args:
        name: The study's name.
        history: Its trials: goals, best trade-offs, failures, frontier.
        definition: What it was created with: its space, code and machine.
    """
    goals = ", ".join(f"{o.metric} {o.arrow}" for o in history.objectives)
    history, found = history.as_published(), len(history.frontier)
    tag = "published" if history.published else "frontier"
    measured_again = (
        f" Measured again, {len(history.published)} of {len(history.confirmed)} plausible points "
        f"are published: their fresh values stand below. {likely_text(history)}"
    )
    lines = [
        f"# {name}",
        "",
        f"{len(history.records)} trials ({len(history.failed)} failed, "
        f"{len(history.skipped)} skipped), {found} on the search's own frontier of {goals}."
        f"{measured_again if history.published else ''}",
        "",
        "The interactive plot is the artifact `pareto.html`; the child runs of the frontier are "
        f"those with `tags.{tag} = 'true'`.",
        "",
    ]
    lines += [*_best_trade_offs(history), *_setting(history, definition)]
    if history.failed:
        lines += ["## Failures by cause", ""]
        lines += [f"- {count} × {cause}" for cause, count in history.failures_by_cause[:10]]
        lines.append("")
    lines += ["## Published frontier" if history.published else "## Frontier", ""]
    metrics = shown_metrics(history)
    lines.append("| trial | candidate | " + " | ".join(metrics) + " |")
    lines.append("|---" * (len(metrics) + 2) + "|")
    points = history.frontier
    if history.baseline and history.baseline not in points:
        points = [history.baseline, *points]
    for record in points[:_FRONTIER_ROWS]:
        cells = [format_metric(metric, record.metrics[metric]) for metric in metrics]
        mark = " (baseline)" if record.number == 0 else ""
        lines.append(f"| {record.number}{mark} | {record.candidate.label} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _best_trade_offs(history: History) -> list[str]:
    """Say which point is best in each objective, and at what price in the others."""
    points = history.frontier
    if not points:
        return []
    lines = ["## Best trade-offs", ""]
    for goal in history.objectives:
        best = min(points, key=lambda record: goal.loss(record.metrics[goal.metric]))
        values = ", ".join(
            f"{o.metric} {format_metric(o.metric, best.metrics[o.metric])}"
            for o in history.objectives
        )
        lines.append(
            f"- best {goal.metric}: trial {best.number}, {best.candidate.label} ({values})"
        )
    return [*lines, ""]


def _setting(history: History, definition: Mapping[str, Any]) -> list[str]:
    """Say what was searched, with which code and where."""
    lines = ["## Setting", ""]
    for axis, values in definition.get("space", {}).items():
        lines.append(f"- {axis}: {', '.join(map(str, values))}")
    for limit in history.constraints:
        lines.append(f"- limit: {limit.metric} at {limit.bound:g}")
    if workload := definition.get("workload"):
        code = str(definition.get("code or data of the workload", ""))[:12]
        lines.append(f"- workload: {workload}, code and data {code}")
    if history.baseline and history.baseline.measurement:
        environment = history.baseline.measurement.environment
        lines.append("- environment: " + ", ".join(f"{k} {v}" for k, v in environment.items()))
    return [*lines, ""]
