"""What of a trial is known only beside the baseline: how many of its answers flipped."""

from __future__ import annotations

from dataclasses import replace

from paretune.runners.measure.flips import with_flips
from paretune.runners.store.artifact_store import ArtifactStore
from paretune.search.record.history import History
from paretune.search.record.trial import TrialRecord


def beside_baseline(record: TrialRecord, history: History, store: ArtifactStore) -> TrialRecord:
    """Return a record with the share of its answers that differ from the baseline's.

    Args:
        record: A finished trial.
        history: The trials before it.
        store: Holds the answers.

    Returns:
        The same record if nothing was measured, or the baseline is not known.
    """
    base = record if record.number == 0 else history.baseline
    if record.measurement is None or base is None or base.measurement is None:
        return record
    return replace(record, outcome=with_flips(record.measurement, base.measurement.answers, store))
