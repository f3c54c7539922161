"""Optuna's database: opened, and created if it is missing."""

from __future__ import annotations

import time

import optuna
import sqlalchemy

from paretune.spaces import StudyError

_TRIES = 20
"""Attempts to open a database that another process is creating."""

_RETRY_S = 0.25
"""Seconds between them. Chosen by judgement."""


def open_database(url: str) -> optuna.storages.RDBStorage:
    """Open an Optuna storage, and create the tables in an empty database.

    Args:
        url: Its URL.

    Raises:
        StudyError: If it cannot be opened.
    """
    tried = 0
    while True:
        try:
            return optuna.storages.RDBStorage(url)
        except Exception as error:
            tried += 1
            if tried == _TRIES or not _is_made_by_another(error):
                raise StudyError(
                    f"cannot open the Optuna storage {url}: {error}; check the folder or server, "
                    "or set another `storage`"
                ) from error
        time.sleep(_RETRY_S)


def is_for_one(url: str) -> bool:
    """Tell whether a database is a file that one process at a time writes to (SQLite)."""
    return url.startswith("sqlite")


def _is_made_by_another(error: Exception) -> bool:
    """Tell whether another process is creating the tables: each checks, then creates."""
    return isinstance(error, sqlalchemy.exc.IntegrityError) or (
        isinstance(error, sqlalchemy.exc.DBAPIError) and "already exists" in str(error)
    )
