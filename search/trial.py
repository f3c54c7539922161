"""The record of a trial: one candidate with its measurement or its failure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from runners.failure import Failure
from runners.measurement import Measurement
from spaces import Candidate


@dataclass(frozen=True)
class TrialRecord:
    """What is known of a finished trial.

    Attributes:
        number: Its number in the study; the baseline is 0.
        candidate: What was tried.
        outcome: The measurement, or why there is none.
        stage_seconds: Time spent on each stage that had to run, by name.
        lineage: Digest of what each stage gave, by stage name; the last is the artifact.
        started_at: Seconds since the epoch.
        finished_at: Seconds since the epoch.
    """

    number: int
    candidate: Candidate
    outcome: Measurement | Failure
    started_at: float
    finished_at: float
    stage_seconds: Mapping[str, float] = field(default_factory=dict)
    lineage: Mapping[str, str] = field(default_factory=dict)

    @property
    def measurement(self) -> Measurement | None:
        """The measurement, or ``None`` if the trial failed."""
        return self.outcome if isinstance(self.outcome, Measurement) else None

    @property
    def failure(self) -> Failure | None:
        """The failure, or ``None`` if the trial was measured."""
        return self.outcome if isinstance(self.outcome, Failure) else None

    @property
    def metrics(self) -> dict[str, float]:
        """The value of each metric by name; empty if the trial failed."""
        return self.measurement.metrics if self.measurement else {}

    @property
    def seconds(self) -> float:
        """Wall-clock time of the trial."""
        return self.finished_at - self.started_at

    def as_dict(self) -> dict[str, Any]:
        """Return plain nested values, ready for JSON."""
        kind = "measurement" if self.measurement else "failure"
        return {
            "number": self.number,
            "candidate": self.candidate.as_dict(),
            kind: self.outcome.as_dict(),
            "started_at": self.started_at,
            "finished_at": self.finished_at,
            "stage_seconds": dict(self.stage_seconds),
            "lineage": dict(self.lineage),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TrialRecord:
        """Undo :meth:`as_dict`."""
        fields = dict(values)
        outcome: Measurement | Failure
        if "measurement" in fields:
            outcome = Measurement.from_dict(fields.pop("measurement"))
        else:
            outcome = Failure.from_dict(fields.pop("failure"))
        candidate = Candidate.from_dict(fields.pop("candidate"))
        return cls(candidate=candidate, outcome=outcome, **fields)
