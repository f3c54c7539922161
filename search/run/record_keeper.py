"""The keeper of records: commits what trials gave, shows it, and lets the search learn from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from paretune.search.propose.exclusions import GivenUp
from paretune.search.propose.strategy import Strategy
from paretune.search.record.history import History
from paretune.search.record.tracking import Tracking
from paretune.search.record.trial import TrialRecord
from paretune.search.record.words import disturbance_text
from paretune.search.run.reporter import Reporter
from paretune.search.storage.study_storage import StudyStorage
from paretune.spaces import StudyError


@dataclass
class RecordKeeper:
    """Keeps the records of trials: in the storage, the history and the views.

    Attributes:
        storage: The storage of trials.
        history: The finished trials.
        strategy: Learns from each of them, also from those that are there at first.
        tracking: Shows trials.
        reporter: Reports progress.
        given_up: The rule of the space that excludes what keeps failing.
        identical_failures: The study stops if this many first trials fail for the same reason.
        completed: Adds to a record what is known only beside the baseline's.
    """

    storage: StudyStorage
    history: History
    strategy: Strategy
    tracking: Tracking
    reporter: Reporter
    given_up: GivenUp
    identical_failures: int
    completed: Callable[[TrialRecord], TrialRecord]
    _held: list[TrialRecord] = field(default_factory=list, init=False)
    _told_disturbed: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self._told = set(self.given_up.parts)
        for record in self.history.records:
            self._teach(record)

    def keep(self, record: TrialRecord) -> None:
        """Commit the record of a trial of this process, then update the views.

        Until something has been measured, failures are only held back: if the environment is
        broken, they say nothing about the candidates, and the next start tries them again.

        Raises:
            StudyError: If all trials so far failed for the same reason, and they are enough.
        """
        record = self.completed(record)
        self.history.add(record)
        if self.history.measured:
            self._release_held()
            self.storage.finish(record, self.history.objectives)
        else:
            self.storage.hold(record)
            self._held.append(record)
        self._show(record)
        cause = self.history.common_cause
        if cause and len(self.history.records) >= self.identical_failures:
            raise StudyError(
                f"stopped: each of the first {len(self.history.records)} candidates failed for "
                f"the same reason:\n  {record.failure.message if record.failure else cause}\n"
                f"Fix it and run the same command again: these trials will be tried again"
            )

    def add(self, record: TrialRecord) -> None:
        """Add the record of a trial that another process has finished, and update the views."""
        self.history.add(record)
        if self.history.measured:
            self._release_held()
        self._show(record)

    def _release_held(self) -> None:
        """Finish the trials that were held back."""
        for earlier in self._held:
            self.storage.finish(earlier, self.history.objectives)
        self._held.clear()

    def _show(self, record: TrialRecord) -> None:
        """Update the views with a trial of the history, and learn from it."""
        self._teach(record)
        self.tracking.log_trial(record, self.history)
        self.reporter.trial_finished(record, self.history)
        if not self._told_disturbed and (text := disturbance_text(self.history)):
            self._told_disturbed = True
            self.reporter.noted(text)
        self.given_up.learn()
        for part in [part for part in self.given_up.parts if part not in self._told]:
            self._told.add(part)
            self.reporter.gave_up(self.given_up.parts[part])

    def _teach(self, record: TrialRecord) -> None:
        """Pass a trial to the strategy; for a skipped candidate, its best possible metrics."""
        metrics = record.metrics
        if record.skip:
            metrics |= {self.history.quality_metric: record.skip.quality_bound}
        self.strategy.observe(record.candidate, metrics or None)
