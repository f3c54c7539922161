"""Optuna's storage: the one source of truth. Everything else is a view that can be rebuilt.

Each trial carries its candidate from the start and its record from the end, as one JSON attribute
each. A trial is finished in two steps, record then state, so that a process killed between them
loses nothing.
"""

from __future__ import annotations

import logging
import time
import uuid
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import optuna
from optuna.distributions import CategoricalDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from search.bulk import collector_off
from search.confirmed import Confirmed
from search.objective import Objective
from search.tracking import Status
from search.trial import TrialRecord
from spaces import AXIS_NAMES, OPTIONAL_AXES, Candidate, SearchSpace, StudyError

_DEFINITION = "paretune_definition"
_CANDIDATE = "paretune_candidate"
_RECORD = "paretune_record"
_STARTS = "paretune_starts"
_CONFIRMED = "paretune_confirmed"
_ENDED = "paretune_ended"
_WISH = "paretune_wish"
_PATIENCE_S = 300.0
_RETRY_S = 2.0
_FOR_GOOD = ("disk is full", "malformed", "not a database")
_LOG = logging.getLogger(__name__)

Result = TypeVar("Result")


@dataclass(frozen=True)
class Unfinished:
    """A trial that was in flight when its process ended.

    Attributes:
        number: Its number.
        candidate: What it was to try.
        starts: How often it has been started.
    """

    number: int
    candidate: Candidate
    starts: int


class StudyStorage:
    """One study in an Optuna storage. One process writes to it at a time.

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
        try:
            self._storage = optuna.storages.get_storage(url)
        except Exception as error:
            raise StudyError(
                f"the Optuna storage {url} cannot be opened: {error}; check the folder or server, "
                f"or give another `storage`"
            ) from error

    @property
    def definition(self) -> dict[str, Any] | None:
        """What the study was created with, or ``None`` if there is no such study yet."""
        try:
            attributes = self._attributes()
        except KeyError:
            return None
        definition = attributes.get(_DEFINITION)
        return dict(definition) if definition else None

    def create(
        self, definition: Mapping[str, Any], objectives: Sequence[Objective], space: SearchSpace
    ) -> None:
        """Create the study, or check that the one that exists is the same.

        Raises:
            StudyError: If the existing study was created with something else.
        """
        existing = self.definition
        if existing is None:
            study = optuna.create_study(
                storage=self._storage,
                study_name=self.name,
                directions=[objective.direction for objective in objectives],
                load_if_exists=True,
            )
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                study.set_metric_names([objective.metric for objective in objectives])
            study.set_user_attr(_DEFINITION, {**definition, "uid": uuid.uuid4().hex})
        else:
            known = {**existing, "space": {**OPTIONAL_AXES, **existing.get("space", {})}}
            changed = [key for key, value in definition.items() if known.get(key) != value]
            if changed:
                raise StudyError(
                    f"the study {self.name!r} in {self.url} was started with another "
                    f"{', '.join(changed)}; give the changed study a new `name` (its builds are "
                    f"reused all the same), or undo the change"
                )
        self._distributions = {
            name: CategoricalDistribution(space.axis(name).values) for name in AXIS_NAMES
        }

    def start(self, candidate: Candidate) -> int:
        """Begin a trial and return its number."""
        trial = create_trial(
            state=TrialState.RUNNING,
            params=dict(candidate.params),
            distributions=dict(self._distributions),
            user_attrs={_CANDIDATE: candidate.as_dict()},
        )

        def begin() -> int:
            # Asked again after an error, it may have been begun all the same.
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

    def start_again(self, trial: Unfinished) -> None:
        """Note that an unfinished trial is started once more."""
        self._set(trial.number, _STARTS, trial.starts + 1)

    def hold(self, record: TrialRecord) -> None:
        """Keep a record without finishing its trial: after a restart it is tried again."""
        self._set(record.number, _RECORD, record.as_dict())
        self.forgive(record.number)

    def forgive(self, number: int) -> None:
        """Forget how often a trial was started: it was not the trial that ended the process."""
        self._set(number, _STARTS, 0)

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
            # Asked again after an error, it may have been closed all the same.
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
        """Say what is wrong with finished trials: no record, or one that does not fit."""
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
                    f"trial {trial.number} is finished and has no readable record: {error!r}"
                )
                continue
            candidate = Candidate.from_dict(trial.user_attrs[_CANDIDATE])
            if record.number != trial.number or record.candidate != candidate:
                found.append(f"trial {trial.number} has the record of another: {record.number}")
            elif getattr(record, states[trial.state]) is None:
                found.append(f"trial {trial.number} is {trial.state.name} and has no such outcome")
        return found

    def confirm(self, points: Sequence[Confirmed], trials: int, samples: Mapping[str, Any]) -> None:
        """Keep what a confirmation found, in place of the last one.

        Args:
            points: The points.
            trials: How many trials the study had.
            samples: What the points were run on (see ``Samples.as_dict``).
        """
        for point in points:
            self._set_study(f"{_CONFIRMED}:{point.number}", point.as_dict())
        numbers = [point.number for point in points]
        found = {"trials": trials, "numbers": numbers, "samples": dict(samples)}
        self._set_study(_CONFIRMED, found)

    def confirmed(self) -> tuple[list[Confirmed], int]:
        """Return what the last confirmation found, and how many trials the study had then."""
        attributes = self._attributes()
        found = attributes.get(_CONFIRMED, {"trials": 0, "numbers": []})
        values = [attributes[f"{_CONFIRMED}:{number}"] for number in found["numbers"]]
        return [Confirmed.from_dict(each) for each in values], found["trials"]

    def confirmed_on(self) -> dict[str, Any] | None:
        """Return what the confirmed points were run on, if the study was confirmed."""
        found = self._attributes().get(_CONFIRMED)
        return dict(found["samples"]) if found else None

    def begin(self) -> None:
        """Forget how the study last ended: until it ends again it is under way, or was killed."""
        self._set_study(_ENDED, None)

    def keep_wish(self, wish: Mapping[str, Any]) -> None:
        """Keep what a search is steered to (see ``Interest.as_dict``), in place of the last one."""
        self._set_study(_WISH, dict(wish))

    @property
    def wish(self) -> dict[str, Any] | None:
        """What the last search was steered to; ``None`` if none has said."""
        return self._attributes().get(_WISH)

    def end(self, reason: str, status: Status) -> None:
        """Keep why and how the study's search, or its confirmation, ended."""
        self._set_study(_ENDED, [reason, status])

    @property
    def ended(self) -> tuple[str, Status] | None:
        """Why and how the study last ended; ``None`` if it is under way or was killed."""
        found = self._attributes().get(_ENDED)
        return (found[0], found[1]) if found else None

    def recover(self, objectives: Sequence[Objective]) -> list[Unfinished]:
        """Finish trials whose measurement is kept already; return those to be started again."""
        again = []
        for trial in self._trials():
            if trial.state.is_finished() or _CANDIDATE not in trial.user_attrs:
                continue
            kept = trial.user_attrs.get(_RECORD)
            record = TrialRecord.from_dict(kept) if kept else None
            if record and not record.failure:
                self._close(record, objectives)
            else:
                candidate = Candidate.from_dict(trial.user_attrs[_CANDIDATE])
                starts = trial.user_attrs.get(_STARTS, 1)
                again.append(Unfinished(trial.number, candidate, starts))
        return again

    def _trials(self) -> list[FrozenTrial]:
        # Read only, so not copied: Optuna keeps what it has read of finished trials, and a second
        # reading of thousands of them would cost as much in copies as the first in queries.
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
        """Read or write; a storage that does not answer is given some minutes to come back.

        Raises:
            StudyError: If it does not.
        """
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            try:
                return access()
            except (optuna.exceptions.StorageInternalError, OSError) as error:
                # A full disk does not empty itself: who has to make room should know at once.
                reason = str(error.__cause__ or error)
                if time.monotonic() > deadline or any(text in reason for text in _FOR_GOOD):
                    raise StudyError(
                        f"the Optuna storage {self.url} does not answer: {reason}; what is "
                        f"finished is safe, mend the storage and run the same command again"
                    ) from error
                _LOG.warning("%s does not answer; trying again", self.url)
                time.sleep(_RETRY_S)
