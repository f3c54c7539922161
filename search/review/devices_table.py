"""The frontiers of several devices as one table on the terminal."""

from __future__ import annotations

from collections.abc import Mapping

from rich.box import SIMPLE_HEAD
from rich.table import Table

from paretune.runners.metric import metric_of
from paretune.search.record.gains import SHOWN_GAINS
from paretune.search.record.history import History
from paretune.search.record.words import gain_texts
from paretune.search.review.console import WIDE, console
from paretune.search.review.frontier_rows import frontier_rows
from paretune.search.review.frontier_table import alike_in, is_count, knobs, value_text


def devices_table(histories: Mapping[str, History], *, searched: bool = False) -> Table:
    """Return the frontiers of a study on several devices as one table.

    Args:
        histories: The history on each device; their studies have the same objectives.
        searched: Show the searches' own frontiers, as for devices that have published nothing.
    """
    found = {device: frontier_rows(each, searched=searched) for device, each in histories.items()}
    rows = [(device, row, knobs(row)) for device, rows in found.items() for row in rows]
    alike = alike_in([knob for _, _, knob in rows])
    names = list(dict.fromkeys(name for _, _, knob in rows for name in knob if name not in alike))
    one = next(iter(histories.values()))
    table = Table(
        title="a frontier per device",
        caption="Gains are against the baseline on the same device."
        + "".join(f" All rows: {name} {value}." for name, value in alike.items()),
        box=SIMPLE_HEAD,
        show_edge=False,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    for name in ("device", *names):
        table.add_column(name, justify="right" if is_count(name) else "left", no_wrap=True)
    for goal in one.objectives:
        head = f"{metric_of(goal.metric).head} {goal.arrow}"
        table.add_column(head, justify="right", no_wrap=True)
    for gain in SHOWN_GAINS:
        table.add_column(gain.title(one.quality_metric), justify="right", no_wrap=True)
    of_baseline = ["baseline", *[""] * (len(SHOWN_GAINS) - 1)]
    for device, row, knob in rows:
        goals = [
            value_text(goal.metric, row.statistics[goal.metric], is_wide=console.width >= WIDE)
            for goal in one.objectives
        ]
        gained = gain_texts(row.gains) if row.gains and row.number else of_baseline
        style = "dim" if row.kind == "baseline" else ""
        is_last = row is found[device][-1]
        cells = [knob.get(name, "") for name in names]
        table.add_row(device, *cells, *goals, *gained, style=style, end_section=is_last)
    return table
