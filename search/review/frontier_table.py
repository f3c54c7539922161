"""The frontier as a table on the terminal."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.table import Table

from paretune.runners.measure.statistic import Statistic
from paretune.runners.metric import metric_of
from paretune.search.record.gains import SHOWN_GAINS
from paretune.search.record.history import History
from paretune.search.record.objective import Objective
from paretune.search.record.request_time import request_lines
from paretune.search.record.words import (
    close_calls_text,
    counted,
    gain_texts,
    unconfirmed_text,
)
from paretune.search.review.console import WIDE, console
from paretune.search.review.frontier_rows import FrontierRow, frontier_rows
from paretune.spaces import AXES

_GAP = 2
"""Spaces between two columns of the table."""

_COUNTS = ("trial", "prune", "batch", "threads")


def frontier_table(history: History, *, searched: bool = False) -> Table:
    """Return the published frontier as a table, or the search's own if none is published.

    The baseline is always a row. On a wide terminal, objectives have the half-width of their 95 %
    interval; on a narrow one, columns are left out, and named below. Axes with the same value in
    all rows are listed below the table.
    """
    rows = frontier_rows(history, searched=searched)
    known = knobs(rows[0]) if rows else {}
    columns = frontier_columns(history, rows, is_wide=console.width >= WIDE)
    left_out = _left_out(columns, history, console.width) if console.is_terminal else []
    table = Table(
        title=_title(history, rows),
        caption=frontier_notes(history, rows, left_out),
        box=SIMPLE_HEAD,
        show_edge=False,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    for name in (name for name in columns if name not in left_out):
        if name == "ties":
            table.add_column(name, overflow="fold", min_width=5)
            continue
        is_text = name in known and not is_count(name)
        table.add_column(name, justify="left" if is_text else "right", no_wrap=True)
    for place, row in enumerate(rows):
        cells = [cells[place] for name, cells in columns.items() if name not in left_out]
        is_aside = row.kind == "baseline"
        table.add_row(*cells, style="dim" if is_aside else "", end_section=is_aside)
    return table


def frontier_columns(
    history: History, rows: Sequence[FrontierRow], *, is_wide: bool
) -> dict[str, list[str]]:
    """Return the cells of each column: knobs that vary, objectives, gains, how sure the row is.

    Args:
        history: The study.
        rows: Its frontier.
        is_wide: Whether objectives have the half-width of their interval.
    """
    all_knobs = [knobs(row) for row in rows]
    alike = alike_in(all_knobs)
    names = [name for name in (all_knobs[0] if rows else {}) if name not in alike]
    columns = {name: [knob[name] for knob in all_knobs] for name in names}
    for goal in history.objectives:
        columns[_goal_title(goal)] = [
            value_text(goal.metric, row.statistics[goal.metric], is_wide=is_wide) for row in rows
        ]
    of_baseline = ["baseline", *[""] * (len(SHOWN_GAINS) - 1)]
    gained = [gain_texts(row.gains) if row.gains and row.number else of_baseline for row in rows]
    for place, gain in enumerate(SHOWN_GAINS):
        columns[gain.title(history.quality_metric)] = [texts[place] for texts in gained]
    if any(row.kind == "published" for row in rows):
        columns["P"] = [row.probability_text for row in rows]
    if any(row.ties for row in rows):
        columns["ties"] = [row.ties_text for row in rows]
    return columns


def _left_out(columns: Mapping[str, Sequence[str]], history: History, width: int) -> list[str]:
    """Return the columns that do not fit, those that matter least first.

    What a row is, its first two objectives, how much faster it is and what it loses stay.
    """
    smaller = SHOWN_GAINS[-1].title(history.quality_metric)
    goals = [_goal_title(goal) for goal in history.objectives]
    knob_names = list(columns)[: list(columns).index(goals[0])]
    order = ["ties", "P", smaller, *reversed(goals[2:])]
    order += [name for name in reversed(knob_names) if name not in ("trial", "quantization")]
    widths = {name: max(map(cell_len, [name, *cells])) + _GAP for name, cells in columns.items()}
    left_out: list[str] = []
    for name in (name for name in order if name in widths):
        if sum(widths.values()) - _GAP <= width:
            break
        left_out.append(name)
        del widths[name]
    return left_out


def _goal_title(goal: Objective) -> str:
    return f"{metric_of(goal.metric).head} {goal.arrow}"


def _title(history: History, rows: Sequence[FrontierRow]) -> str:
    if any(row.kind == "published" for row in rows):
        count = counted(len(history.published), "point")
        beside = " beside the baseline" if rows[0].kind == "baseline" else ""
        return f"published frontier: {count}{beside}, measured again"
    return (
        f"search frontier: {len(history.frontier)} of {len(history.measured)} measured trials, "
        "values not confirmed"
    )


def frontier_notes(
    history: History, rows: Sequence[FrontierRow], left_out: Collection[str] = ()
) -> str:
    """Return the notes below the table: what all rows share, and what columns mean.

    Args:
        history: The study.
        rows: Its frontier.
        left_out: Columns that the table does not have.
    """
    lines = ["Gains are against the baseline, trial 0."]
    if any(row.kind == "published" for row in rows):
        if "P" not in left_out:
            lines[0] += (
                " P is the probability that no confirmed "
                f"point dominates the row ({counted(len(history.confirmed), 'point')} confirmed)."
            )
        if any(row.ties for row in rows) and "ties" not in left_out:
            lines.append("A row cannot be told apart from its ties.")
        lines += [close_calls_text(history), unconfirmed_text(history)]
    if len({row.candidate.run.batch_size for row in rows}) > 1:
        lines.append("× faster compares calls, and a call of a larger batch does more.")
    lines += request_lines([row.record for row in rows], history)
    if alike := alike_in([knobs(row) for row in rows]):
        shared = ", ".join(f"{name} {value}" for name, value in alike.items())
        lines.insert(0, f"All rows: {shared}.")
    if left_out:
        lines.append(f"Left out, because the terminal is narrow: {', '.join(left_out)}.")
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
    return f"{text} {shown.half_width(statistic.value, *statistic.ends)}"
