"""What a study has so far: its history from the storage, and what its workload offers."""

from __future__ import annotations

import tempfile
from pathlib import Path

from paretune.runners.execute.build_worker import BuildWorker
from paretune.runners.execute.worker_jobs import WorkerSettings
from paretune.runners.workload.loaded import WorkloadInfo
from paretune.search.configure.schema import StudyPaths
from paretune.search.configure.study_file import read_study_file
from paretune.search.record.history import History
from paretune.search.record.interest import Interest
from paretune.search.record.objective import Constraint, Objective
from paretune.search.storage.study_storage import StudyStorage
from paretune.spaces import StudyError


def load_history(path: Path) -> History:
    """Return the history of a study from its storage.

    Raises:
        ConfigError: If the study file has mistakes.
        StudyError: If the study has not been started.
    """
    config = read_study_file(path)
    paths = StudyPaths(config, path)
    missing = StudyError(
        f"the study {config.name!r} has not been started; run `paretune search {path}` first"
    )
    if config.storage is None and not paths.output.is_dir():
        raise missing
    storage = StudyStorage(paths.storage_url, config.name)
    definition = storage.definition
    if definition is None:
        raise missing
    objectives = [Objective(**values) for values in definition["objectives"]]
    constraints = [Constraint(**values) for values in definition["constraints"]]
    records = storage.records(held=True)
    kept = storage.wish
    interest = (
        config.wish.interest(config.space.batch_size, {}) if kept is None else Interest(**kept)
    )
    history = History(objectives, constraints, definition["quality_metric"], records, interest)
    history.confirmed = list(storage.confirmed().points)
    return history


def describe_workload(workload: str, folder: Path) -> WorkloadInfo:
    """Load a workload in a separate process and describe it.

    Raises:
        WorkloadError: If it cannot be loaded or breaks its protocol.
    """
    with tempfile.TemporaryDirectory() as name:
        settings = WorkerSettings(workload, folder, Path(name) / "store", Path(name) / "log")
        with BuildWorker(settings) as worker:
            return worker.describe()
