"""The wall-clock time of a search, in which trials of several workers overlap."""

from __future__ import annotations

from collections.abc import Sequence

from paretune.search.record.trial import TrialRecord


def seconds_per_trial(ends: Sequence[float]) -> float:
    """Return the seconds between the ends of a search's last ten trials.

    Args:
        ends: The start of the search and the end of each of its trials; at least two.
    """
    recent = ends[-11:]
    return (recent[-1] - recent[0]) / (len(recent) - 1)


def busy_seconds(records: Sequence[TrialRecord]) -> float:
    """Return the seconds during which at least one trial was running; 0 without trials."""
    busy, until = 0.0, float("-inf")
    for record in sorted(records, key=lambda record: record.started_at):
        busy += max(record.finished_at - max(record.started_at, until), 0.0)
        until = max(until, record.finished_at)
    return busy
