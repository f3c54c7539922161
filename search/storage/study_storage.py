"""Optuna's storage: the one source of truth. All else is a view that can be rebuilt."""

from __future__ import annotations

import json
import time
import uuid
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import CategoricalDistribution
from optuna.trial import TrialState

from paretune.search.record.objective import Objective
from paretune.search.record.tracking import Status
from paretune.search.record.trial import TrialRecord
from paretune.search.storage.collector import collector_off
from paretune.search.storage.confirmed_points import ConfirmedPoints
from paretune.search.storage.definition import refuse_changed, refuse_foreign, renewed
from paretune.search.storage.running_trials import CANDIDATE, RECORD, RunningTrials
from paretune.search.storage.study_attribute import StudyAttribute
from paretune.spaces import Candidate, SearchSpace

_DEFINITION = "paretune_definition"
_ENDED = "paretune_ended"
_WISH = "paretune_wish"
_BUDGET = "paretune_budget"
_IS_CONFIRMING = "paretune_is_confirming"


class StudyStorage(RunningTrials):
    """One study in an Optuna storage. Only its owner and members write to it: see :meth:`owned`.

    Args:
        url: An Optuna storage URL, such as ``sqlite:///study.db``.
        name: The study's name.

    Raises:
        StudyError: If the storage cannot be opened.
    """

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

    def records(self, *, held: bool = False) -> list[TrialRecord]:
        """Return the records of finished trials in order, with those ``held`` on request."""
        with collector_off():
            return [
                TrialRecord.from_dict(json.loads(text))
                for state, text in self._texts(RECORD)
                if held or state.is_finished()
            ]

    @property
    def trials_done(self) -> int:
        """How many trials have ended: much quicker than to read their records each time."""
        return sum(trial.state.is_finished() for trial in self._trials())

    def torn(self) -> list[str]:
        """Return the problems of finished trials: a missing record, or one that does not fit."""
        states = {
            TrialState.COMPLETE: "measurement",
            TrialState.PRUNED: "skip",
            TrialState.FAIL: "failure",
        }
        found = []
        for trial in self._trials():
            if CANDIDATE not in trial.user_attrs or not trial.state.is_finished():
                continue
            try:
                record = TrialRecord.from_dict(trial.user_attrs[RECORD])
            except (KeyError, TypeError, ValueError) as error:
                found.append(
                    f"trial {trial.number} is finished but has no readable record: {error!r}"
                )
                continue
            candidate = Candidate.from_dict(trial.user_attrs[CANDIDATE])
            if record.number != trial.number or record.candidate != candidate:
                found.append(f"trial {trial.number} has the record of trial {record.number}")
            elif getattr(record, states[trial.state]) is None:
                found.append(f"trial {trial.number} is {trial.state.name}, but its outcome is not")
        return found

    def confirm(self, found: ConfirmedPoints) -> None:
        """Store a confirmation in place of the last one, which stays to be seen."""
        found.write(self._set_study, self._attributes())

    def confirmed(self) -> ConfirmedPoints:
        """Return the last confirmation; without points if there was none."""
        return ConfirmedPoints.read(self._attributes())

    def published_before(self) -> list[ConfirmedPoints]:
        """Return the confirmations before the last one, in order."""
        return ConfirmedPoints.read_earlier(self._attributes())

    def confirmed_on(self) -> dict[str, Any] | None:
        """Return the inputs of the confirmed points, if the study was confirmed."""
        samples = self.confirmed().samples
        return None if samples is None else dict(samples)

    def begin(self) -> None:
        """Clear how the study last ended: until it ends again, it is running or was killed."""
        self._set_study(_ENDED, None)
        self._set_study(_IS_CONFIRMING, False)

    def begin_to_confirm(self) -> None:
        """Store that points are measured again, from now until the study ends or begins anew."""
        self._set_study(_IS_CONFIRMING, True)

    @property
    def is_confirming(self) -> bool:
        """Whether the last thing that the study began was a confirmation."""
        return bool(self._attributes().get(_IS_CONFIRMING))

    def keep_wish(self, wish: Mapping[str, Any]) -> None:
        """Store the wish of a search (see ``Wish.as_dict``) in place of the last one."""
        self._set_study(_WISH, dict(wish))

    @property
    def wish(self) -> dict[str, Any] | None:
        """The wish of the last search; ``None`` if there was none."""
        return self._attributes().get(_WISH)

    def keep_budget(self, trials: int, hours: float | None) -> None:
        """Store the budget of a search that begins now, so that others can tell how far it is."""
        self._set_study(_BUDGET, {"trials": trials, "hours": hours, "since": time.time()})

    @property
    def budget(self) -> dict[str, Any] | None:
        """The last search's ``trials``, ``hours`` and ``since`` when; ``None`` if not stored."""
        return self._attributes().get(_BUDGET)

    def end(self, reason: str, status: Status) -> None:
        """Store why and how the study's search or confirmation ended."""
        self._set_study(_ENDED, [reason, status])

    @property
    def ended(self) -> tuple[str, Status] | None:
        """Why and how the study last ended; ``None`` if it is running or was killed."""
        found = self._attributes().get(_ENDED)
        return (found[0], found[1]) if found else None
