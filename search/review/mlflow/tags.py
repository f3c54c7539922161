"""The tags of a trial in MLflow: what people filter runs by."""

from __future__ import annotations

from paretune.search.record.history import History
from paretune.search.record.trial import TrialRecord
from paretune.search.review.shortfall import shortfalls

TAG_CHARACTERS = 4000
"""MLflow allows twice as many; nobody reads that many."""


def trial_tags(record: TrialRecord, history: History) -> dict[str, str]:
    """Return the constant tags of a trial: texts, and booleans as ``true`` and ``false``."""
    tags = {
        "candidate": record.candidate.digest,
        "baseline": truth(record.number == 0),
        "outcome": "measured" if record.measurement else "skipped" if record.skip else "failed",
    }
    if record.measurement:
        tags["artifact"] = record.measurement.artifact
        tags["feasible"] = truth(history.is_feasible(record))
        tags["samples"] = record.measurement.samples
        environment = record.measurement.environment
        tags |= {f"environment.{name}": value for name, value in environment.items()}
    if record.failure:
        tags["failure.stage"] = record.failure.stage
        tags["failure.kind"] = record.failure.kind.value
        tags["failure.reason"] = record.failure.message[:TAG_CHARACTERS]
    return tags


def shortfall(record: TrialRecord, history: History) -> str:
    """Return a trial's shortfalls in one text; empty if there are none."""
    return "; ".join(shortfalls(record, history))


def truth(value: bool) -> str:
    """Return a boolean as filters write it."""
    return "true" if value else "false"
