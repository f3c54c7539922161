"""Tracking: a place where runs are reviewed. A view of the storage, brought up to date by it."""

from __future__ import annotations

from typing import Literal, Protocol

from paretune.search.record.history import History
from paretune.search.record.trial import TrialRecord
from paretune.spaces import StudyError

Status = Literal["FINISHED", "FAILED", "KILLED"]
Phase = Literal["searching", "confirming"]

ENDINGS: dict[Status, str] = {"FINISHED": "done", "FAILED": "failed", "KILLED": "interrupted"}
"""What a study that has ended is, by the status of its run."""


class UnusableTrackingError(StudyError):
    """A tracking that cannot be opened however long one waits: it is set up wrongly."""


class Tracking(Protocol):
    """A place that shows trials while they come in."""

    def bring_up_to_date(self, history: History) -> None:
        """Show what the history holds and is not shown yet."""

    def start(self, phase: Phase, history: History) -> None:
        """Show that the study is being searched or confirmed."""

    def log_trial(self, record: TrialRecord, history: History) -> None:
        """Show a finished trial, and what it changed."""

    def log_confirmed(self, history: History) -> None:
        """Show what was confirmed, and what is published."""

    def finish(self, history: History, reason: str, status: Status) -> None:
        """Show the study as it stands at the end of a search or a confirmation."""


class NoTracking:
    """Shows nothing."""

    def bring_up_to_date(self, history: History) -> None:
        """Do nothing."""

    def start(self, phase: Phase, history: History) -> None:
        """Do nothing."""

    def log_trial(self, record: TrialRecord, history: History) -> None:
        """Do nothing."""

    def log_confirmed(self, history: History) -> None:
        """Do nothing."""

    def finish(self, history: History, reason: str, status: Status) -> None:
        """Do nothing."""
