"""The record of a trial: one candidate with its measurement, its failure or why it was skipped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from paretune.runners.failure import Failure
from paretune.runners.measure.measurement import Measurement
from paretune.spaces import Candidate

STUDY_STAGE = "study"
"""The stage of a trial that failed because the study's own process died during it."""


@dataclass(frozen=True)
class Skip:
    """Why a candidate was not fully trained: even at its best it could not matter.

    Attributes:
        before: The stage that was skipped.
        reason: The best it could have reached, and why that is not enough.
        quality_bound: The upper bound on its quality.
        skeleton: Its measurement without full training: everything but the quality.
    """

    before: str
    reason: str
    quality_bound: float
    skeleton: Measurement

    def as_dict(self) -> dict[str, Any]:
        """Return plain nested values, ready for JSON."""
        return {**vars(self), "skeleton": self.skeleton.as_dict()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Skip:
        """Undo :meth:`as_dict`."""
        return cls(**{**values, "skeleton": Measurement.from_dict(values["skeleton"])})


@dataclass(frozen=True)
class TrialRecord:
    """The record of a finished trial.

    Attributes:
        number: Its number in the study; the baseline is 0.
        candidate: The candidate.
        outcome: The measurement, or why there is none: it failed, or was skipped.
        stage_seconds: Time spent on each stage that had to run, by name.
        lineage: Digest of each stage's output, by stage name; the last is the artifact.
        saved_seconds: Original seconds of the reused stages.
        stage_quality: The model's quality in training, by the stage that ended with it. Evidence
            for the search; published quality comes from the artifact.
        train_losses: The training loss of each epoch, by the training stages that ran in it.
        started_at: Seconds since the epoch.
        finished_at: Seconds since the epoch.
    """

    number: int
    candidate: Candidate
    outcome: Measurement | Failure | Skip
    started_at: float
    finished_at: float
    stage_seconds: Mapping[str, float] = field(default_factory=dict)
    lineage: Mapping[str, str] = field(default_factory=dict)
    saved_seconds: float = 0.0
    stage_quality: Mapping[str, float] = field(default_factory=dict)
    train_losses: Mapping[str, Sequence[float]] = field(default_factory=dict)

    @property
    def measurement(self) -> Measurement | None:
        """The measurement, or ``None`` if the trial failed."""
        return self.outcome if isinstance(self.outcome, Measurement) else None

    @property
    def failure(self) -> Failure | None:
        """The failure, or ``None`` if the trial was measured."""
        return self.outcome if isinstance(self.outcome, Failure) else None

    @property
    def skip(self) -> Skip | None:
        """Why the candidate was skipped, or ``None`` if it was not."""
        return self.outcome if isinstance(self.outcome, Skip) else None

    @property
    def metrics(self) -> dict[str, float]:
        """The value of each metric by name: without quality if skipped, empty if it failed."""
        if self.skip:
            return self.skip.skeleton.metrics
        return self.measurement.metrics if self.measurement else {}

    @property
    def seconds(self) -> float:
        """Wall-clock time of the trial."""
        return self.finished_at - self.started_at

    def as_dict(self) -> dict[str, Any]:
        """Return plain nested values, ready for JSON."""
        kind = "measurement" if self.measurement else "skip" if self.skip else "failure"
        return {
            "number": self.number,
            "candidate": self.candidate.as_dict(),
            kind: self.outcome.as_dict(),
            "started_at": self.started_at,
            "finished_at": self.finished_at,
            "stage_seconds": dict(self.stage_seconds),
            "lineage": dict(self.lineage),
            "saved_seconds": self.saved_seconds,
            "stage_quality": dict(self.stage_quality),
            "train_losses": {stage: list(losses) for stage, losses in self.train_losses.items()},
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TrialRecord:
        """Undo :meth:`as_dict`."""
        fields = dict(values)
        outcome: Measurement | Failure | Skip
        if "measurement" in fields:
            outcome = Measurement.from_dict(fields.pop("measurement"))
        elif "skip" in fields:
            outcome = Skip.from_dict(fields.pop("skip"))
        else:
            outcome = Failure.from_dict(fields.pop("failure"))
        candidate = Candidate.from_dict(fields.pop("candidate"))
        return cls(candidate=candidate, outcome=outcome, **fields)
