"""A study in Markdown: the description of its run in MLflow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from paretune.search.record.history import History
from paretune.search.record.request_time import request_lines
from paretune.search.record.words import close_calls_text, goals_text, values_text
from paretune.search.review.frontier_rows import frontier_texts
from paretune.spaces import digest

_FRONTIER_ROWS = 30  # MLflow cuts a description at 8,000 characters


def study_markdown(name: str, history: History, definition: Mapping[str, Any]) -> str:
    """Return a study as Markdown.

    Args:
        name: The study's name.
        history: Its trials.
        definition: Its definition: space, code and machine.
    """
    heads, rows = frontier_texts(history)
    history, found = history.as_published(), len(history.frontier)
    tag = "published" if history.published else "frontier"
    measured_again = (
        f" Measured again, {len(history.published)} of {len(history.confirmed)} plausible points "
        f"are published: their fresh values are below. {close_calls_text(history)}"
    )
    lines = [
        f"# {name}",
        "",
        f"{len(history.records)} trials ({len(history.failed)} failed, "
        f"{len(history.skipped)} skipped), {found} on the search's own frontier of "
        f"{goals_text(history)}."
        f"{measured_again if history.published else ''}",
        "",
        "Interactive pictures are artifacts: `pareto.html` (the points with their intervals), and "
        "at the end `importance.html` (what each axis is worth), `parallel.html` (which values "
        "lead where) and `time.html` (where the time went). The child runs of the frontier are "
        f"those with `tags.{tag} = 'true'`.",
        "",
    ]
    lines += [*_best_trade_offs(history), *_setting(history, definition)]
    if history.failed:
        lines += ["## Failures by cause", ""]
        lines += [f"- {len(each)} × {cause}" for cause, each in history.failures_by_cause[:10]]
        lines.append("")
    lines += ["## Published frontier" if history.published else "## Search frontier", ""]
    lines += [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    lines += [f"| {' | '.join(cells)} |" for cells in rows[:_FRONTIER_ROWS]]
    if requests := request_lines(history.frontier, history):
        lines += ["", *(f"- {text}" for text in requests)]
    return "\n".join(lines)


def _best_trade_offs(history: History) -> list[str]:
    """List the best point per objective, with its values in the others."""
    points = history.frontier
    if not points:
        return []
    lines = ["## Best trade-offs", ""]
    for goal in history.objectives:
        best = min(points, key=lambda record: goal.loss(record.metrics[goal.metric]))
        lines.append(
            f"- best {goal.metric}: trial {best.number}, {best.candidate.label} "
            f"({values_text(history, best.metrics)})"
        )
    return [*lines, ""]


def _setting(history: History, definition: Mapping[str, Any]) -> list[str]:
    """List the space, the code and the machine."""
    lines = ["## Setting", ""]
    for axis, values in definition.get("space", {}).items():
        lines.append(f"- {axis}: {', '.join(map(str, values))}")
    for limit in history.constraints:
        lines.append(f"- limit: {limit.metric} at {limit.bound:g}")
    if workload := definition.get("workload"):
        code = definition.get("code or data of the workload", "")
        code = (code if isinstance(code, str) else digest(code))[:12]
        lines.append(f"- workload: {workload}, code and data {code}")
    if history.baseline and history.baseline.measurement:
        environment = history.baseline.measurement.environment
        lines.append("- environment: " + ", ".join(f"{k} {v}" for k, v in environment.items()))
    return [*lines, ""]
