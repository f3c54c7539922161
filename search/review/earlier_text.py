"""What a study published before, in words."""

from __future__ import annotations

from datetime import UTC, datetime

from paretune.search.record.history import History
from paretune.search.record.words import values_text
from paretune.search.storage.confirmed_points import ConfirmedPoints


def published_text(earlier: ConfirmedPoints, history: History) -> str:
    """Return an earlier confirmation in a line: when it was, and its published values.

    Args:
        earlier: The confirmation.
        history: The study, which has the objectives.
    """
    when = "by an earlier version of Paretune"
    if earlier.at is not None:
        when = datetime.fromtimestamp(earlier.at, UTC).strftime("%Y-%m-%d %H:%M UTC")
    points = [point for point in earlier.points if point.is_published]
    told = (f"trial {point.number} ({values_text(history, point.metrics)})" for point in points)
    return f"published before, {when}: {', '.join(told) or 'nothing'}"
