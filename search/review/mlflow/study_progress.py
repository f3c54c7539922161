"""The values of a study's run over its trials: how many there are, and how far the frontier is."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from paretune.search.record.history import History
from paretune.search.record.trial import TrialRecord
from paretune.search.review.mlflow.metric_names import MetricNames
from paretune.search.review.mlflow.run_state import Value


def progress(record: TrialRecord, history: History, names: MetricNames) -> list[Value]:
    """Return the values of a study's run after a trial, over trials."""
    values = {
        "trials": float(len(history.records)),
        "failed_trials": float(len(history.failed)),
        "skipped_trials": float(len(history.skipped)),
        "frontier_size": float(len(history.frontier)),
    }
    if history.hypervolume is not None:
        values["hypervolume"] = history.hypervolume
    at_ms = int(record.finished_at * 1000)
    return [
        Value(names.within("search", name), value, at_ms, record.number)
        for name, value in values.items()
    ]


def replayed_progress(
    history: History, names: MetricNames, logged: Collection[int] = ()
) -> Iterator[list[Value]]:
    """Yield the values of a study's run after each trial, as they were at the time.

    Args:
        history: The study.
        names: The names of its numbers.
        logged: Numbers of the trials that are left out.
    """
    replayed = history.empty_copy()
    for record in sorted(history.records, key=lambda record: record.finished_at):
        replayed.add(record)
        if record.number not in logged:
            yield progress(record, replayed, names)
