"""The lines of the live view, laid out for a width."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.text import Text

from paretune.search.review.terminal.trial_line import clock

_MOST_ROWS = 6
"""Rows of builders and devices; more are counted. Chosen by judgement."""

_BAR_WIDTHS = (20, 40)
"""Least and most characters of a bar."""

_GAP = 2
"""Spaces between two columns."""


@dataclass(frozen=True)
class Row:
    """What one builder or device does.

    Attributes:
        place: The builder or device.
        trial: The trial, in words.
        what: What is done.
        label: What it is done with.
        seconds: How long it has been going on.
    """

    place: str
    trial: str
    what: str
    label: str
    seconds: float


def row_lines(rows: Sequence[Row], width: int) -> list[Text]:
    """Return rows as aligned lines; the labels have the space that the rest leaves."""
    shown = rows[:_MOST_ROWS]
    places, trials, whats, labels = (
        max((len(getattr(row, name)) for row in shown), default=0)
        for name in ("place", "trial", "what", "label")
    )
    whats = min(whats, width // 2)
    times = max((len(clock(row.seconds)) for row in shown), default=0)
    labels = max(min(labels, width - places - trials - whats - times - 4 * _GAP), 0)
    lines = []
    for row in shown:
        line = Text(style="default", no_wrap=True)
        for text, columns, style in (
            (row.place, places, "cyan"),
            (row.trial, trials, "bold"),
            (row.what, whats, ""),
            (row.label, labels, "dim"),
        ):
            cell = Text(text, style)
            cell.truncate(columns, overflow="ellipsis", pad=True)
            line.append_text(cell).append(" " * _GAP)
        lines.append(line.append(f"{clock(row.seconds):>{times}}"))
    if len(rows) > _MOST_ROWS:
        lines.append(Text(f"and {len(rows) - _MOST_ROWS} more", "dim"))
    return lines


def bar_line(share: float, words: Sequence[str], width: int) -> Text:
    """Return a bar, and what stands beside it; words that do not fit are left out, the last first.

    Args:
        share: The share that is done, in [0, 1].
        words: The most important first.
        width: The columns that there are.
    """
    least, most = _BAR_WIDTHS
    told = list(words)
    while len(told) > 1 and len(" · ".join(told)) + _GAP + least > width:
        told.pop()
    text = " · ".join(told)
    columns = max(min(width - len(text) - _GAP, most), 0)
    done = round(min(max(share, 0.0), 1.0) * columns)
    line = Text("━" * done, "green").append("─" * (columns - done), "dim")
    return line.append(" " * _GAP if columns else "").append(text)
