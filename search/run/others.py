"""The others: processes that search the same study, as the loop sees them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from paretune.search.record.trial import TrialRecord
from paretune.search.record.under_way import UnderWay
from paretune.search.record.unfinished import Unfinished
from paretune.search.run.record_keeper import RecordKeeper
from paretune.search.storage.news import Elsewhere

_REST_S = 0.5
"""Seconds between looks at what others do, for a process that has nothing else to do. A look takes
some queries. Chosen by judgement.
"""


class Others:
    """What other processes do that search the same study.

    One of them owns it: it publishes at the end, so it waits for the trials of the others. A member
    only helps: it waits for the first measurement before it proposes anything, and at its end until
    it has heard from the owner.

    Args:
        keeper: Keeps the records of trials.
        under_way: Tells how processes of this folder died.
        comparable: Raises a :class:`StudyError` if measurements of the owner cannot be compared
            with those of this process.

    Attributes:
        under_way: The trials that others build or measure.
    """

    def __init__(
        self,
        keeper: RecordKeeper,
        under_way: UnderWay,
        comparable: Callable[[TrialRecord], None] = lambda record: None,
    ) -> None:
        self._keeper = keeper
        self._storage = keeper.storage
        self._history = keeper.history
        self._deaths = under_way.others_deaths
        self._comparable = comparable
        self._heartbeat_at_end: str | None = None
        self._noted: set[str] = set()
        self.under_way: Sequence[Elsewhere] = ()

    @property
    def has_baseline(self) -> bool:
        """Whether candidates can be proposed: a member leaves the first trials to the owner."""
        return self._storage.is_owner or bool(self._history.measured)

    def learn(self) -> list[Unfinished]:
        """Learn what others have finished since the last time; return what dead ones left to do.

        A member that becomes the owner by that opens the views.

        Raises:
            StudyError: If this process was taken for dead, or the owner's measurements cannot be
                compared with its own.
        """
        was_owner, inherited = self._storage.is_owner, list[Unfinished]()
        known = {record.number for record in self._history.records}
        while (news := self._storage.news(known)).has_orphans:
            inherited += self._storage.recover(self._history.objectives, *self._deaths())
        self.under_way = news.under_way
        if self._storage.is_owner and not was_owner:
            self._storage.begin()
            self._keeper.tracking.start("searching", self._history)
            self._keeper.tracking.bring_up_to_date(self._history)
        for record in news.records:
            if not self._storage.is_owner:
                self._comparable(record)
            self._keeper.add(record)
        return inherited

    def waits_for(self, *, is_over: bool) -> str | None:
        """Return what a process without a trial of its own waits for, in words.

        Args:
            is_over: Whether it can start no further trial.

        Returns:
            ``None`` if it need not wait.
        """
        trials = self.words
        if not is_over:
            self._heartbeat_at_end = None
            return None if self.has_baseline else "waiting for the study's first measurement"
        if self._storage.is_owner:
            return f"waiting for {trials}" if trials else None
        now = self._storage.owners_heartbeat
        self._heartbeat_at_end = self._heartbeat_at_end or now
        return "checking that the study's owner is alive" if now == self._heartbeat_at_end else None

    @property
    def words(self) -> str:
        """The trials that others build or measure, in words; empty without any."""
        return ", ".join(f"trial {each.number} of {each.member}" for each in self.under_way)

    def rest(self, waits_for: str) -> None:
        """Wait a moment; report what for, once."""
        if waits_for not in self._noted:
            self._noted.add(waits_for)
            self._keeper.reporter.noted(waits_for)
        time.sleep(_REST_S)
