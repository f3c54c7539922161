"""The owner's tracking: of several processes that search a study, one shows it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from paretune.runners.execute.ongoing_stage import OngoingTraining
from paretune.search.record.history import History
from paretune.search.record.tracking import Phase, Status, Tracking
from paretune.search.record.trial import TrialRecord


class OwnersTracking:
    """Passes everything on while this process owns the study, and nothing before.

    Args:
        tracking: Shows the study.
        is_owner: Tells whether this process owns it.
    """

    def __init__(self, tracking: Tracking, is_owner: Callable[[], bool]) -> None:
        self._tracking = tracking
        self._is_owner = is_owner

    def bring_up_to_date(self, history: History) -> None:
        """Pass it on, as the owner."""
        if self._is_owner():
            self._tracking.bring_up_to_date(history)

    def start(self, phase: Phase, history: History) -> None:
        """Pass it on, as the owner."""
        if self._is_owner():
            self._tracking.start(phase, history)

    def log_trial(self, record: TrialRecord, history: History) -> None:
        """Pass it on, as the owner."""
        if self._is_owner():
            self._tracking.log_trial(record, history)

    def log_training(self, trainings: Sequence[OngoingTraining]) -> None:
        """Pass it on, as the owner."""
        if self._is_owner():
            self._tracking.log_training(trainings)

    def log_confirmed(self, history: History) -> None:
        """Pass it on, as the owner."""
        if self._is_owner():
            self._tracking.log_confirmed(history)

    def finish(self, history: History, reason: str, status: Status) -> None:
        """Pass it on, as the owner."""
        if self._is_owner():
            self._tracking.finish(history, reason, status)
