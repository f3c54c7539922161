"""The trials of a study as a data frame."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from paretune.search.record.history import History
from paretune.search.record.words import with_interval

if TYPE_CHECKING:
    from pandas import DataFrame


def trials_frame(history: History) -> DataFrame:
    """Return every trial as a row, in the order of numbers.

    Columns are the trial's number and state (``measured``, ``skipped`` or ``failed``), the reason
    for a missing measurement, the axes, and every metric that any trial has, with units in their
    names and the ends of their 95 % intervals. Values are the search's own; the published frontier
    is in :class:`~paretune.search.review.row_list.FrontierRows`.
    """
    from pandas import DataFrame

    rows = []
    for record in sorted(history.records, key=lambda record: record.number):
        state = "measured" if record.measurement else "skipped" if record.skip else "failed"
        why = record.skip.reason if record.skip else record.failure and record.failure.message
        row: dict[str, Any] = {
            "trial": record.number,
            "state": state,
            "reason": why,
            "seconds": record.seconds,
        }
        row |= {**record.candidate.params, **record.metrics}
        if record.measurement:
            for name, statistic in record.measurement.statistics.items():
                row |= with_interval(name, statistic)
        rows.append(row)
    return DataFrame(rows)
