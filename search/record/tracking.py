"""Tracking: where runs are reviewed; a view of the storage, updated from it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

from paretune.runners.execute.ongoing_stage import OngoingTraining
from paretune.search.record.history import History
from paretune.search.record.trial import TrialRecord
from paretune.spaces import StudyError

Status = Literal["FINISHED", "FAILED", "KILLED"]
Phase = Literal["searching", "confirming"]

ENDINGS: dict[Status, str] = {"FINISHED": "done", "FAILED": "failed", "KILLED": "interrupted"}
"""The state of an ended study, by the status of its run."""


class UnusableTrackingError(StudyError):
    """A tracking that can never be opened, because it is configured wrongly."""


class Tracking(Protocol):
    """A place that shows trials as they finish."""

    def bring_up_to_date(self, history: History) -> None:
        """Show what the history holds but the view does not."""

    def start(self, phase: Phase, history: History) -> None:
        """Show that the study is being searched or confirmed."""

    def log_trial(self, record: TrialRecord, history: History) -> None:
        """Show a finished trial and what it changed."""

    def log_training(self, trainings: Sequence[OngoingTraining]) -> None:
        """Show how far trainings are."""

    def log_confirmed(self, history: History) -> None:
        """Show the confirmed and the published points."""

    def finish(self, history: History, reason: str, status: Status) -> None:
        """Show the study at the end of a search or a confirmation."""


class NoTracking:
    """Shows nothing."""

    def bring_up_to_date(self, history: History) -> None:
        """Do nothing."""

    def start(self, phase: Phase, history: History) -> None:
        """Do nothing."""

    def log_trial(self, record: TrialRecord, history: History) -> None:
        """Do nothing."""

    def log_training(self, trainings: Sequence[OngoingTraining]) -> None:
        """Do nothing."""

    def log_confirmed(self, history: History) -> None:
        """Do nothing."""

    def finish(self, history: History, reason: str, status: Status) -> None:
        """Do nothing."""
