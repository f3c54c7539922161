"""Optuna's storage: the one source of truth. All else is a view that can be rebuilt.

Each trial carries its candidate from the start and its record from the end, as one JSON attribute
each. A trial is finished in two steps, record then state, so that a process killed between them
loses nothing.
"""

from __future__ import annotations

import json
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from typing import Any, TypeVar

import optuna
from optuna.distributions import CategoricalDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from paretune.search.record.objective import Objective
from paretune.search.record.tracking import Status
from paretune.search.record.trial import TrialRecord
from paretune.search.record.under_way import Death
from paretune.search.record.unfinished import Unfinished
from paretune.search.storage.collector import collector_off
from paretune.search.storage.confirmed_points import ConfirmedPoints
from paretune.search.storage.database import open_database
from paretune.search.storage.definition import refuse_changed, refuse_foreign, renewed
from paretune.search.storage.owner import Owner
from paretune.search.storage.ownership import Ownership, who_owns
from paretune.search.storage.patience import patiently
from paretune.search.storage.study_attribute import StudyAttribute
from paretune.spaces import Candidate, SearchSpace

_DEFINITION = "paretune_definition"
_CANDIDATE = "paretune_candidate"
_RECORD = "paretune_record"
_DEATHS = "paretune_deaths"
_ENDED = "paretune_ended"
_WISH = "paretune_wish"

Result = TypeVar("Result")


class StudyStorage:
    """One study in an Optuna storage. One process writes to it at a time: see :meth:`owned`.

    Args:
        url: An Optuna storage URL, such as ``sqlite:///study.db``.
        name: The study's name.

    Raises:
        StudyError: If the storage cannot be opened.
    """

    def __init__(self, url: str, name: str) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.url = url
        self.name = name
        self._ownership: Ownership | None = None
        self._database = open_database(url)
        self._storage = optuna.storages.get_storage(self._database)

    @property
    def definition(self) -> dict[str, Any] | None:
        """The definition of the study, or ``None`` if there is no such study yet."""
        try:
            attributes = self._attributes()
        except KeyError:
            return None
        definition = attributes.get(_DEFINITION)
        return dict(definition) if definition else None

    def create(
        self, definition: Mapping[str, Any], objectives: Sequence[Objective], space: SearchSpace
    ) -> None:
        """Create the study, or check that the existing one has the same definition.

        Raises:
            StudyError: If the existing study has another definition, or is not Paretune's.
        """
        is_new = False
        if self.definition is None:
            study = optuna.create_study(
                storage=self._storage,
                study_name=self.name,
                directions=[objective.direction for objective in objectives],
                load_if_exists=True,
            )
            if _DEFINITION not in study.user_attrs:
                refuse_foreign(study, objectives, self.url)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                study.set_metric_names([objective.metric for objective in objectives])
            kept = StudyAttribute(self._database, self._study_id, _DEFINITION)
            made = json.dumps({**definition, "uid": uuid.uuid4().hex})
            is_new = self._patiently(lambda: kept.swap(None, made))
        # If two processes create it at once, the first definition counts.
        if not is_new:
            existing = self.definition or {}
            refuse_changed(existing, definition, self.name, self.url)
            if (new := renewed(existing, definition, self.name)) is not None:
                kept = StudyAttribute(self._database, self._study_id, _DEFINITION)
                self._patiently(lambda: kept.swap(kept.read(), json.dumps(new)))
        self._distributions = {
            axis.name: CategoricalDistribution(axis.values) for axis in space.axes
        }

    @contextmanager
    def owned(self) -> Iterator[None]:
        """Own the study in this context: no other process on any host writes to it.

        Raises:
            StudyError: If another living process owns it. Writes raise it as well after another
                process has taken over, because this one seemed dead.
        """
        with Ownership(self.name, self._database, self._study_id, self.url) as self._ownership:
            yield

    def check_owner(self) -> None:
        """Check that the study, if this process ever owned it, still belongs to it.

        Raises:
            StudyError: If another process has taken over.
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

    def start(self, candidate: Candidate) -> int:
        """Begin a trial and return its number."""
        trial = create_trial(
            state=TrialState.RUNNING,
            params=dict(candidate.params),
            distributions=dict(self._distributions),
            user_attrs={_CANDIDATE: candidate.as_dict()},
        )

        def begin() -> int:
            # After an error and a retry, it may already have begun.
            begun = [t for t in self._trials() if not t.state.is_finished()] if failed else []
            for known in begun:
                if known.user_attrs.get(_CANDIDATE) == candidate.as_dict():
                    return known.number
            failed.append(True)
            return self._storage.get_trial(
                self._storage.create_new_trial(self._study_id, trial)
            ).number

        failed: list[bool] = []
        return self._patiently(begin)

    def hold(self, record: TrialRecord) -> None:
        """Keep a record without finishing its trial: after a restart it is tried again."""
        self._set(record.number, _RECORD, record.as_dict())
        self._set(record.number, _DEATHS, [])

    def finish(self, record: TrialRecord, objectives: Sequence[Objective]) -> None:
        """Keep a record and finish its trial: COMPLETE, PRUNED if it was skipped, or FAIL."""
        self._set(record.number, _RECORD, record.as_dict())
        self._close(record, objectives)

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

    def records(self, *, held: bool = False) -> list[TrialRecord]:
        """Return the records of finished trials in order, with those ``held`` on request."""
        with collector_off():
            return [
                TrialRecord.from_dict(trial.user_attrs[_RECORD])
                for trial in self._trials()
                if _RECORD in trial.user_attrs and (held or trial.state.is_finished())
            ]

    def torn(self) -> list[str]:
        """Return the problems of finished trials: a missing record, or one that does not fit."""
        states = {
            TrialState.COMPLETE: "measurement",
            TrialState.PRUNED: "skip",
            TrialState.FAIL: "failure",
        }
        found = []
        for trial in self._trials():
            if _CANDIDATE not in trial.user_attrs or not trial.state.is_finished():
                continue
            try:
                record = TrialRecord.from_dict(trial.user_attrs[_RECORD])
            except (KeyError, TypeError, ValueError) as error:
                found.append(
                    f"trial {trial.number} is finished but has no readable record: {error!r}"
                )
                continue
            candidate = Candidate.from_dict(trial.user_attrs[_CANDIDATE])
            if record.number != trial.number or record.candidate != candidate:
                found.append(f"trial {trial.number} has the record of trial {record.number}")
            elif getattr(record, states[trial.state]) is None:
                found.append(f"trial {trial.number} is {trial.state.name}, but its outcome is not")
        return found

    def confirm(self, found: ConfirmedPoints) -> None:
        """Store a confirmation in place of the last one."""
        found.write(self._set_study)

    def confirmed(self) -> ConfirmedPoints:
        """Return the last confirmation; without points if there was none."""
        return ConfirmedPoints.read(self._attributes())

    def confirmed_on(self) -> dict[str, Any] | None:
        """Return the inputs of the confirmed points, if the study was confirmed."""
        samples = self.confirmed().samples
        return None if samples is None else dict(samples)

    def begin(self) -> None:
        """Clear how the study last ended: until it ends again, it is running or was killed."""
        self._set_study(_ENDED, None)

    def keep_wish(self, wish: Mapping[str, Any]) -> None:
        """Store the wish of a search (see ``Wish.as_dict``) in place of the last one."""
        self._set_study(_WISH, dict(wish))

    @property
    def wish(self) -> dict[str, Any] | None:
        """The wish of the last search; ``None`` if there was none."""
        return self._attributes().get(_WISH)

    def end(self, reason: str, status: Status) -> None:
        """Store why and how the study's search or confirmation ended."""
        self._set_study(_ENDED, [reason, status])

    @property
    def ended(self) -> tuple[str, Status] | None:
        """Why and how the study last ended; ``None`` if it is running or was killed."""
        found = self._attributes().get(_ENDED)
        return (found[0], found[1]) if found else None

    def recover(
        self, objectives: Sequence[Objective], death: Death | None = None
    ) -> list[Unfinished]:
        """Finish trials whose record is already stored; return those to start again.

        Args:
            objectives: The study's.
            death: How the last process died, if it did. Each trial that was under way then is
                charged with the death once, no matter how often this is called.
        """
        again = []
        for trial in self._trials():
            if trial.state.is_finished() or _CANDIDATE not in trial.user_attrs:
                continue
            kept = trial.user_attrs.get(_RECORD)
            record = TrialRecord.from_dict(kept) if kept else None
            if record and not record.failure:
                self._close(record, objectives)
                continue
            deaths = trial.user_attrs.get(_DEATHS, [])
            if death and trial.number in death.numbers and death.session not in deaths:
                deaths = [*deaths, death.session]
                self._set(trial.number, _DEATHS, deaths)
            candidate = Candidate.from_dict(trial.user_attrs[_CANDIDATE])
            again.append(Unfinished(trial.number, candidate, len(deaths)))
        return again

    def _trials(self) -> list[FrozenTrial]:
        # Read-only, so not copied: Optuna caches finished trials, and copying thousands of them
        # would cost as much as the first query.
        with collector_off():
            return self._patiently(
                lambda: self._storage.get_all_trials(self._study_id, deepcopy=False)
            )

    def _attributes(self) -> dict[str, Any]:
        return self._patiently(lambda: self._storage.get_study_user_attrs(self._study_id))

    @cached_property
    def _study_id(self) -> int:
        return self._storage.get_study_id_from_name(self.name)

    def _trial_id(self, number: int) -> int:
        return self._storage.get_trial_id_from_study_id_trial_number(self._study_id, number)

    def _set(self, number: int, key: str, value: Any) -> None:
        self._patiently(
            lambda: self._storage.set_trial_user_attr(self._trial_id(number), key, value)
        )

    def _set_study(self, key: str, value: Any) -> None:
        self._patiently(lambda: self._storage.set_study_user_attr(self._study_id, key, value))

    def _patiently(self, access: Callable[[], Result]) -> Result:
        return patiently(access, self.url)
