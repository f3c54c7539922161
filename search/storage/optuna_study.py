"""A study in Optuna's database: its trials and attributes, read and written with retries."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, TypeVar

import optuna
import sqlalchemy
from optuna.trial import FrozenTrial, TrialState

from paretune.search.storage.collector import collector_off
from paretune.search.storage.database import open_database
from paretune.search.storage.patience import patiently
from paretune.search.storage.study_attribute import transaction

_TRIALS = sqlalchemy.table(
    "trials", *map(sqlalchemy.column, ("trial_id", "study_id", "number", "state"))
)
_ATTRIBUTES = sqlalchemy.table(
    "trial_user_attributes", *map(sqlalchemy.column, ("trial_id", "key", "value_json"))
)

Result = TypeVar("Result")


class OptunaStudy:
    """One study in Optuna's database.

    Args:
        url: An Optuna storage URL, such as ``sqlite:///study.db``.
        name: The study's name.

    Raises:
        StudyError: If the storage cannot be opened, or does not answer for minutes.
    """

    def __init__(self, url: str, name: str) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.url = url
        self.name = name
        self._database = open_database(url)
        self._storage = optuna.storages.get_storage(self._database)

    def _trials(self) -> list[FrozenTrial]:
        # Read-only, so not copied: Optuna caches finished trials, and copying thousands of them
        # would cost as much as the first query.
        with collector_off():
            return self._patiently(
                lambda: self._storage.get_all_trials(self._study_id, deepcopy=False)
            )

    def _texts(self, key: str) -> list[tuple[TrialState, str]]:
        """Return the JSON of an attribute of every trial that has it, with the trial's state.

        They are in the order of the trials. To read whole trials takes Optuna many times as long,
        because each parameter and value is a row.
        """
        same = _TRIALS.c.trial_id == _ATTRIBUTES.c.trial_id

        def read() -> list[tuple[TrialState, str]]:
            query = (
                sqlalchemy.select(_TRIALS.c.state, _ATTRIBUTES.c.value_json)
                .where(_TRIALS.c.study_id == self._study_id, same, _ATTRIBUTES.c.key == key)
                .order_by(_TRIALS.c.number)
            )
            with transaction(self._database) as connection:
                found = connection.execute(query).all()
            return [(TrialState[state], text) for state, text in found]

        return self._patiently(read)

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
