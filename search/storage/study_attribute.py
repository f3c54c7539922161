"""One attribute of a study in Optuna's database, written only if it is unchanged.

Optuna's own ``set_user_attr`` overwrites whatever is there, so two processes that both read
"nobody" would both write their name and both believe they own the study. Reading a token again
after a while only makes that unlikely. The database can decide: ``study_user_attributes`` has a
unique key over study and name, so of two INSERTs one fails; and of two UPDATEs that ask for the old
value, the second waits for the first and then finds no such row. That holds for every engine that
Optuna supports (SQLite, PostgreSQL, MySQL) at its default isolation, and the table is the same in
all versions of Optuna that this project allows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import optuna
import sqlalchemy
from sqlalchemy import ColumnElement, Connection

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

_TABLE = sqlalchemy.table(
    "study_user_attributes",
    sqlalchemy.column("study_id", sqlalchemy.Integer),
    sqlalchemy.column("key", sqlalchemy.String),
    sqlalchemy.column("value_json", sqlalchemy.Text),
)


class StudyAttribute:
    """A study's attribute as text, with an atomic compare-and-swap.

    Args:
        storage: The database.
        study_id: Optuna's id of an existing study.
        key: The attribute's name.
    """

    def __init__(self, storage: optuna.storages.RDBStorage, study_id: int, key: str) -> None:
        self._storage = storage
        self._study_id = study_id
        self.key = key

    def read(self) -> str | None:
        """Return the attribute's JSON, or ``None`` if there is none.

        Raises:
            StorageInternalError: If the database does not answer.
        """
        with transaction(self._storage) as connection:
            return _only(connection.execute(self._select).all())

    def swap(self, old: str | None, new: str | None) -> bool:
        """Replace the JSON if it still is the old one; ``None`` stands for a missing attribute.

        Returns:
            Whether it was replaced. After an error this is unknown: read it.

        Raises:
            StorageInternalError: If the database does not answer.
        """
        with transaction(self._storage) as connection:
            if old is None:
                row = {"study_id": self._study_id, "key": self.key, "value_json": new}
                try:
                    connection.execute(sqlalchemy.insert(_TABLE).values(row))
                except sqlalchemy.exc.IntegrityError:
                    connection.rollback()
                    return False
                return True
            same = (*self._row, _TABLE.c.value_json == old)
            if new is None:
                done = connection.execute(sqlalchemy.delete(_TABLE).where(*same))
            else:
                changed = sqlalchemy.update(_TABLE).where(*same).values(value_json=new)
                done = connection.execute(changed)
            return done.rowcount == 1

    def read_in(self, session: Session) -> str | None:
        """Return the JSON inside a transaction; nobody can change it before its end."""
        return _only(session.execute(self._select.with_for_update(read=True)).all())

    @property
    def _row(self) -> tuple[ColumnElement[bool], ...]:
        return _TABLE.c.study_id == self._study_id, _TABLE.c.key == self.key

    @property
    def _select(self) -> sqlalchemy.Select[str]:
        return sqlalchemy.select(_TABLE.c.value_json).where(*self._row)


def attributes_like(
    storage: optuna.storages.RDBStorage, study_id: int, key: str, prefix: str
) -> dict[str, str]:
    """Return the JSON of a study's attribute, and of those whose names begin with a prefix.

    Raises:
        StorageInternalError: If the database does not answer.
    """
    wanted = sqlalchemy.or_(_TABLE.c.key == key, _TABLE.c.key.startswith(prefix, autoescape=True))
    query = sqlalchemy.select(_TABLE.c.key, _TABLE.c.value_json)
    with transaction(storage) as connection:
        rows = connection.execute(query.where(_TABLE.c.study_id == study_id, wanted)).all()
    return {row[0]: row[1] for row in rows}


@contextmanager
def transaction(storage: optuna.storages.RDBStorage) -> Iterator[Connection]:
    """Yield a separate connection; its writes become visible together or not at all.

    Raises:
        StorageInternalError: As Optuna's own methods do, if the database does not answer.
    """
    try:
        with storage.engine.begin() as connection:
            yield connection
    except sqlalchemy.exc.SQLAlchemyError as error:
        raise optuna.exceptions.StorageInternalError(str(error)) from error


def _only(rows: Sequence[sqlalchemy.Row[str]]) -> str | None:
    return rows[0][0] if rows else None
