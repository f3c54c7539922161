"""The tags of a trial in MLflow: what people filter runs by."""

from __future__ import annotations

from paretune.search.record.history import History
from paretune.search.record.trial import TrialRecord
from paretune.search.review.shortfall import shortfalls

TAG_CHARACTERS = 4000
"""MLflow takes twice as many; nobody reads as many."""


def trial_tags(record: TrialRecord, history: History) -> dict[str, str]:
    """Return the tags of a trial that stay as they are: texts, truths as ``true`` and ``false``."""
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
    """Return in what a trial gained nothing, in one text; empty if it gained what it should."""
    return "; ".join(shortfalls(record, history))


def truth(value: bool) -> str:
    """Return a truth as it is written in filters."""
    return "true" if value else "false"
