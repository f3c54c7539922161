"""The frontier as a table on the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.table import Table

from paretune.runners.measure.statistic import Statistic
from paretune.runners.metric import metric_of
from paretune.search.record.gains import SHOWN_GAINS
from paretune.search.record.history import History
from paretune.search.record.request_time import request_lines
from paretune.search.record.words import close_calls_text, gain_texts
from paretune.search.review.console import WIDE, console
from paretune.search.review.frontier_rows import FrontierRow, frontier_rows
from paretune.spaces import AXES

_COUNTS = ("trial", "prune", "batch", "threads")


def frontier_table(history: History, *, searched: bool = False) -> Table:
    """Return the published frontier as a table, or the search's own if none is published.

    The baseline is always a row. On a wide terminal, objectives have the half-width of their 95 %
    interval. Axes with the same value in all rows are listed below the table.
    """
    rows = frontier_rows(history, searched=searched)
    is_published = any(row.kind == "published" for row in rows)
    is_wide = console.width >= WIDE
    all_knobs = [knobs(row) for row in rows]
    alike = alike_in(all_knobs)
    table = Table(
        title=_title(history, is_published),
        caption=_caption(history, rows, alike),
        box=SIMPLE_HEAD,
        show_edge=False,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    names = [name for name in (all_knobs[0] if all_knobs else {}) if name not in alike]
    for name in names:
        table.add_column(name, justify="right" if is_count(name) else "left", no_wrap=True)
    goals = [f"{metric_of(goal.metric).head} {goal.arrow}" for goal in history.objectives]
    gained = [gain.title(history.quality_metric) for gain in SHOWN_GAINS]
    for name in [*goals, *gained, *(["P"] if is_published else [])]:
        table.add_column(name, justify="right", no_wrap=True)
    of_baseline = ["baseline", *[""] * (len(gained) - 1)]
    has_ties = any(row.ties for row in rows)
    if has_ties:
        table.add_column("ties", overflow="fold", min_width=5)
    for row, knob in zip(rows, all_knobs, strict=True):
        cells = [knob[name] for name in names]
        for goal in history.objectives:
            cells.append(value_text(goal.metric, row.statistics[goal.metric], is_wide=is_wide))
        cells += gain_texts(row.gains) if row.gains and row.number else of_baseline
        if is_published:
            cells.append(row.probability_text)
        if has_ties:
            cells.append(row.ties_text)
        is_aside = row.kind == "baseline"
        table.add_row(*cells, style="dim" if is_aside else "", end_section=is_aside)
    return table


def _title(history: History, is_published: bool) -> str:
    if is_published:
        count = len(history.published)
        return f"published frontier: {count} {'point' if count == 1 else 'points'}, measured again"
    return (
        f"search frontier: {len(history.frontier)} of {len(history.measured)} measured trials, "
        "values not confirmed"
    )


def _caption(history: History, rows: Sequence[FrontierRow], alike: dict[str, str]) -> str:
    """Return the notes below the table."""
    lines = ["Gains are against the baseline, trial 0."]
    if any(row.kind == "published" for row in rows):
        lines = [
            f"Gains are against the baseline, trial 0. P is the probability that no confirmed "
            f"point dominates the row ({len(history.confirmed)} were confirmed).",
            "A row cannot be told apart from its ties." if any(row.ties for row in rows) else "",
            close_calls_text(history),
        ]
    lines += request_lines([row.record for row in rows], history)
    if alike:
        shared = ", ".join(f"{name} {value}" for name, value in alike.items())
        lines.insert(0, f"All rows: {shared}.")
    return "\n".join(line for line in lines if line)


def knobs(row: FrontierRow) -> dict[str, str]:
    """Return a candidate's values, by column name."""
    params, run = row.candidate.params, row.candidate.run
    return {
        "trial": str(row.number),
        "student": str(params["student"]),
        "prune": f"{params['pruning_ratio']:g}",
        "quantization": row.candidate.build.scheme,
        "batch": str(run.batch_size),
        "threads": str(run.intra_op_threads),
        "graph": str(params["graph_optimization"]),
        "runs on": run.target.removesuffix("ExecutionProvider"),
        **{name: str(value) for name, value in run.options},
    }


def is_count(column: str) -> bool:
    """Tell whether a column has numbers."""
    return column in _COUNTS or (column in AXES and AXES.get(column).is_ordered)


def alike_in(rows: Sequence[dict[str, str]]) -> dict[str, str]:
    """Return the knobs with the same value in all rows."""
    if len(rows) < 2:
        return {}
    first = rows[0]
    return {name: first[name] for name in first if len({each.get(name) for each in rows}) == 1}


def value_text(metric: str, statistic: Statistic, *, is_wide: bool) -> str:
    """Return a metric's value; on a wide terminal with the half-width of its interval."""
    shown = metric_of(metric)
    text = shown.text(statistic.value)
    if not is_wide or statistic.low is None or statistic.high is None:
        return text
    return f"{text} {shown.half_width(statistic.value, (statistic.high - statistic.low) / 2)}"
