"""The reporter: receives the progress of a search."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from paretune.runners.execute.training_file import OngoingTraining
from paretune.search.record.history import History
from paretune.search.record.trial import TrialRecord
from paretune.search.run.budget import Budget
from paretune.spaces import Candidate, SearchSpace


class Reporter(Protocol):
    """Receives the progress of a search."""

    def started(self, name: str, space: SearchSpace, history: History, budget: Budget) -> None:
        """The search begins, with the trials of earlier runs in the history."""

    def noted(self, text: str) -> None:
        """Something that a person should know before the first trial."""

    def trial_started(self, number: int, candidate: Candidate) -> None:
        """A trial begins."""

    def training(self, trainings: Sequence[OngoingTraining]) -> None:
        """Trainings are under way, of which one has finished another epoch."""

    def trial_finished(self, record: TrialRecord, history: History) -> None:
        """A trial has ended."""

    def gave_up(self, reason: str) -> None:
        """A part of the space is excluded from now on."""

    def confirming(self, round_number: int, left: int, points: int) -> None:
        """A round of confirmation begins: some of the points need more launches."""


class SilentReporter:
    """Ignores everything; a base class for reporters that need few of the calls."""

    def started(self, name: str, space: SearchSpace, history: History, budget: Budget) -> None:
        """Do nothing."""

    def noted(self, text: str) -> None:
        """Do nothing."""

    def trial_started(self, number: int, candidate: Candidate) -> None:
        """Do nothing."""

    def training(self, trainings: Sequence[OngoingTraining]) -> None:
        """Do nothing."""

    def trial_finished(self, record: TrialRecord, history: History) -> None:
        """Do nothing."""

    def gave_up(self, reason: str) -> None:
        """Do nothing."""

    def confirming(self, round_number: int, left: int, points: int) -> None:
        """Do nothing."""
