"""The reporter: receives the progress of a search."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from paretune.runners.execute.ongoing_stage import OngoingStage, OngoingTraining
from paretune.search.confirm.pace import ConfirmationProgress
from paretune.search.record.history import History
from paretune.search.record.trial import TrialRecord
from paretune.search.run.budget import Budget
from paretune.search.run.time_left import TimeLeft
from paretune.search.run.work import Work
from paretune.spaces import Candidate, SearchSpace


class Reporter:
    """Receives the progress of a search, and ignores it; a subclass takes what it needs."""

    def preparing(self, what: str) -> None:
        """Something begins that takes a while, before or after the trials."""

    def started(
        self,
        name: str,
        space: SearchSpace,
        history: History,
        budget: Budget,
        stages: Callable[[], Sequence[OngoingStage]] = tuple,
    ) -> None:
        """The search begins, with the trials of earlier runs in the history.

        Args:
            name: The study's name.
            space: Its space.
            history: Its trials.
            budget: When it ends.
            stages: Returns the stages of builds that are under way, at any time, in any thread.
        """

    def noted(self, text: str) -> None:
        """Something that a person should know."""

    def trial_started(self, number: int, candidate: Candidate) -> None:
        """A trial begins."""

    def working(self, work: Sequence[Work], left: TimeLeft) -> None:
        """Other jobs are being done than before, or the time left is another."""

    def training(self, trainings: Sequence[OngoingTraining]) -> None:
        """Trainings are under way, of which one has finished another epoch."""

    def trial_finished(self, record: TrialRecord, history: History) -> None:
        """A trial has ended."""

    def gave_up(self, reason: str) -> None:
        """A part of the space is excluded from now on."""

    def confirming(self, progress: ConfirmationProgress) -> None:
        """The next measurement of a confirmation begins."""

    def stop(self) -> None:
        """It is over: remove what is drawn again and again. May be called twice."""
