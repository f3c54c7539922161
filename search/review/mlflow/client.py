"""MLflow's client, configured without telemetry and with timeouts."""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from paretune.runners.file_lock import locked
from paretune.runners.telemetry import switch_off_telemetry

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

_SQLITE = "sqlite:///"


def mlflow_client(uri: str) -> MlflowClient:
    """Return a client of the tracking store (and model registry) at a URI."""
    switch_off_telemetry()
    # A server that does not answer delays a study for seconds, not for MLflow's four minutes.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    # Progress bars for files of some kilobytes are useless.
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    from mlflow.tracking import MlflowClient

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    if uri.startswith(_SQLITE):
        _make_database(Path(uri.removeprefix(_SQLITE)))
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def _make_database(path: Path) -> None:
    """Create MLflow's SQLite database under another name, then rename it.

    Its tables are created in many steps that SQLite does not undo: a process killed in between
    would leave a database that MLflow never opens again. With a write-ahead log, a transaction
    costs a quarter, and readers do not delay the study.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Two studies in one folder share it, and may start at the same time.
    with locked(path.parent):
        _make_aside(path, path.with_name(f"{path.name}.new"))


def _make_aside(path: Path, folder: Path) -> None:
    # Leftovers of a killed process.
    shutil.rmtree(folder, ignore_errors=True)
    if path.exists():
        return
    # The log of a deleted database does not belong to the new one.
    for suffix in ("-wal", "-shm"):
        path.with_name(f"{path.name}{suffix}").unlink(missing_ok=True)
    from mlflow.tracking import MlflowClient

    folder.mkdir()
    aside = folder / path.name
    MlflowClient(tracking_uri=f"{_SQLITE}{aside}").search_experiments()
    with closing(sqlite3.connect(aside)) as database:
        database.execute("PRAGMA journal_mode=WAL")
    aside.replace(path)
    shutil.rmtree(folder, ignore_errors=True)
