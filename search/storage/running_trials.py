"""The trials of a study from their start to their end, among the processes that search it.

Each trial carries its candidate and the process that works on it from the start, and its record
from the end, as one JSON attribute each. A trial is finished in two steps, record then state, so
that a process killed between them loses nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import Any

import optuna
from optuna.distributions import CategoricalDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from paretune.search.record.objective import Objective
from paretune.search.record.trial import TrialRecord
from paretune.search.record.under_way import Death
from paretune.search.record.unfinished import Unfinished
from paretune.search.storage.database import is_for_one
from paretune.search.storage.members import Members
from paretune.search.storage.news import Elsewhere, News
from paretune.search.storage.optuna_study import OptunaStudy
from paretune.search.storage.owner import Owner
from paretune.search.storage.ownership import Ownership, who_owns
from paretune.spaces import Candidate

CANDIDATE = "paretune_candidate"
"""The attribute of a trial that holds its candidate."""

RECORD = "paretune_record"
"""The attribute of a trial that holds its record."""

_MEMBER = "paretune_member"
_DEATHS = "paretune_deaths"


class RunningTrials(OptunaStudy):
    """The trials of one study, for the processes that search it.

    Args:
        url: An Optuna storage URL, such as ``sqlite:///study.db``.
        name: The study's name.

    Raises:
        StudyError: If the storage cannot be opened.
    """

    def __init__(self, url: str, name: str) -> None:
        super().__init__(url, name)
        self._ownership: Ownership | None = None
        self._members: Members | None = None
        self._distributions: Mapping[str, CategoricalDistribution] = {}

    @contextmanager
    def owned(self, *, joins: bool = False) -> Iterator[None]:
        """Own the study in this context, or (``joins``) help its owner as a member.

        A member becomes the owner if there is none, now or later (see :meth:`news`).

        Raises:
            StudyError: If another living process owns it and this one does not join. Writes raise
                it as well after this process seemed dead, and others went on without it.
        """
        seat = Ownership(self.name, self._database, self._study_id, self.url, joins=joins)
        with seat as self._ownership:
            # Searches do not join a study in SQLite: it spares each trial some queries.
            self._members = Members(seat) if joins or not is_for_one(self.url) else None
            yield

    @property
    def is_owner(self) -> bool:
        """Whether this process is not a mere member of a study that another process owns."""
        return self._ownership is None or self._ownership.is_owner

    @property
    def owners_heartbeat(self) -> str | None:
        """What the study's owner wrote last; ``None`` if there is no owner."""
        return self._members.owners_heartbeat if self._members else None

    def check_owner(self) -> None:
        """Check that this process, if it ever owned or joined the study, may still write to it.

        Raises:
            StudyError: If another process has taken over, or taken this one for dead.
        """
        if self._ownership is not None:
            self._ownership.check()

    def while_owned(self, call: Callable[..., None]) -> Callable[..., None]:
        """Return a call that only happens while this process owns the study."""

        def checked(*arguments: Any) -> None:
            self.check_owner()
            call(*arguments)

        return checked

    @property
    def owner(self) -> Owner | None:
        """The process that owns the study, as far as known without watching."""
        return self._patiently(lambda: who_owns(self._database, self._study_id))

    @property
    def under_way(self) -> dict[int, Candidate]:
        """The candidates of the trials that have begun and not ended, by number."""
        return {
            trial.number: Candidate.from_dict(trial.user_attrs[CANDIDATE])
            for trial in self._trials()
            if CANDIDATE in trial.user_attrs and not trial.state.is_finished()
        }

    def claim(self, candidate: Candidate, most: int) -> int | None:
        """Begin a trial that no other process has begun.

        Args:
            candidate: What to try.
            most: Trials that the study may have, in any state.

        Returns:
            The trial's number; ``None`` if another process tries the candidate or has tried it, or
            the study has as many trials as it may have.
        """
        with self._turn():
            trials = [
                trial
                for trial in self._trials()
                if CANDIDATE in trial.user_attrs
                and (RECORD in trial.user_attrs or not trial.state.is_finished())
            ]
            taken = (trial.user_attrs[CANDIDATE] for trial in trials)
            if len(trials) >= most or candidate.as_dict() in taken:
                return None
            return self.start(candidate)

    def start(self, candidate: Candidate) -> int:
        """Begin a trial and return its number."""
        member = {_MEMBER: self._ownership.token} if self._ownership else {}
        trial = create_trial(
            state=TrialState.RUNNING,
            params=dict(candidate.params),
            distributions=dict(self._distributions),
            user_attrs={CANDIDATE: candidate.as_dict(), **member},
        )

        def begin() -> int:
            # After an error and a retry, it may already have begun.
            begun = [t for t in self._trials() if not t.state.is_finished()] if failed else []
            for known in begun:
                if known.user_attrs.get(CANDIDATE) == candidate.as_dict():
                    return known.number
            failed.append(True)
            return self._storage.get_trial(
                self._storage.create_new_trial(self._study_id, trial)
            ).number

        failed: list[bool] = []
        return self._patiently(begin)

    def hold(self, record: TrialRecord) -> None:
        """Keep a record without finishing its trial: after a restart it is tried again."""
        self._set(record.number, RECORD, record.as_dict())
        self._set(record.number, _DEATHS, [])

    def finish(self, record: TrialRecord, objectives: Sequence[Objective]) -> None:
        """Keep a record and finish its trial: COMPLETE, PRUNED if it was skipped, or FAIL."""
        self._set(record.number, RECORD, record.as_dict())
        self._close(record, objectives)

    def news(self, known: Collection[int]) -> News:
        """Return what other processes have done, and do now.

        It also lets go of processes that are dead. A member becomes the owner if there is none.

        Args:
            known: Numbers of the trials that this process knows the records of.

        Raises:
            StudyError: If this process was taken for dead.
        """
        if self._members is None or self._ownership is None:
            return News()
        trials = self._trials()  # Before looking who lives: a process joins before it begins one.
        self._members.watch()
        living, me = self._members.living, self._ownership.token
        records, under_way, has_orphans = [], [], False
        for trial in trials:
            if trial.number in known or CANDIDATE not in trial.user_attrs:
                continue
            member = trial.user_attrs.get(_MEMBER)
            if trial.state.is_finished():
                if RECORD in trial.user_attrs:
                    records.append(TrialRecord.from_dict(trial.user_attrs[RECORD]))
            elif member not in living:
                has_orphans = True
            elif member != me:
                candidate = Candidate.from_dict(trial.user_attrs[CANDIDATE])
                under_way.append(Elsewhere(trial.number, candidate, living[member].process))
        return News(tuple(records), tuple(under_way), has_orphans)

    def recover(self, objectives: Sequence[Objective], *deaths: Death | None) -> list[Unfinished]:
        """Take over the trials that no living process works on.

        Those whose record is already stored are finished.

        Args:
            objectives: The study's.
            deaths: How processes died, as far as known. Each trial that was under way then is
                charged with the death once, no matter how often this is called.

        Returns:
            The trials to start again.
        """
        with self._turn():
            # A process joins before it begins a trial, so these trials are older than what is known
            # of who lives. They are read again, because one may have ended with its process.
            begun = {trial.number for trial in self._trials()}
            living: Collection[str] = ()
            if self._members is not None:
                self._members.watch()
                living = self._members.living
            return [
                unfinished
                for trial in self._trials()
                if trial.number in begun
                and CANDIDATE in trial.user_attrs
                and not trial.state.is_finished()
                and trial.user_attrs.get(_MEMBER) not in living
                and (unfinished := self._recovered(trial, objectives, deaths)) is not None
            ]

    def _recovered(
        self,
        trial: FrozenTrial,
        objectives: Sequence[Objective],
        deaths: Sequence[Death | None],
    ) -> Unfinished | None:
        """Return a trial that is now this process's; ``None`` if it only had to be closed."""
        kept = trial.user_attrs.get(RECORD)
        record = TrialRecord.from_dict(kept) if kept else None
        if record and not record.failure:
            self._close(record, objectives)
            return None
        charged = before = trial.user_attrs.get(_DEATHS, [])
        for death in deaths:
            if death and trial.number in death.numbers and death.session not in charged:
                charged = [*charged, death.session]
        if charged != before:
            self._set(trial.number, _DEATHS, charged)
        if self._ownership is not None:
            self._set(trial.number, _MEMBER, self._ownership.token)
        candidate = Candidate.from_dict(trial.user_attrs[CANDIDATE])
        return Unfinished(trial.number, candidate, len(charged))

    def _close(self, record: TrialRecord, objectives: Sequence[Objective]) -> None:
        values, state = None, TrialState.PRUNED if record.skip else TrialState.FAIL
        if record.measurement:
            values = [record.metrics[objective.metric] for objective in objectives]
            state = TrialState.COMPLETE

        def close() -> None:
            # After an error and a retry, it may already be closed.
            with suppress(optuna.exceptions.UpdateFinishedTrialError):
                self._storage.set_trial_state_values(self._trial_id(record.number), state, values)

        self._patiently(close)

    def _turn(self) -> AbstractContextManager[None]:
        return self._members.turn() if self._members else nullcontext()
