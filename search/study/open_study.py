"""A study that is open: what its file says, where its parts lie, and what was recorded."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from paretune.runners.environment import fingerprint
from paretune.runners.execute.build_worker import BuildWorker
from paretune.runners.execute.worker_jobs import WorkerSettings
from paretune.runners.store.artifact_store import ArtifactStore
from paretune.runners.store.open_store import open_store
from paretune.runners.store.pins import Pins
from paretune.runners.workload.loaded import WorkloadInfo
from paretune.search.configure.schema import StudyPaths
from paretune.search.configure.study_file import Describe, read_study_file
from paretune.search.record.history import History
from paretune.search.record.objective import Constraint, Objective
from paretune.search.record.wish import Wish
from paretune.search.storage.lock import exclusive
from paretune.search.storage.study_storage import StudyStorage
from paretune.spaces import StudyError


class OpenStudy:
    """A study by its file; its storage and its artifact store are opened when they are used.

    Args:
        file: The study file.
        describe: If the file has mistakes, used to report names that the workload lacks as well.

    Attributes:
        file: The study file.
        config: Its content.
        name: The study's name.
        paths: Where it reads and writes.

    Raises:
        ConfigError: If the study file has mistakes.
    """

    def __init__(self, file: Path, describe: Describe | None = None) -> None:
        self.file = file
        self.config = read_study_file(file, describe)
        self.name = self.config.name
        self.paths = StudyPaths(self.config, file)

    @cached_property
    def storage(self) -> StudyStorage:
        """The storage of its trials."""
        return StudyStorage(self.paths.storage_url, self.name)

    @cached_property
    def store(self) -> ArtifactStore:
        """The store of its files, which other studies may use, too."""
        return open_store(self.paths.store, self.paths.store_url)

    @property
    def definition(self) -> dict[str, Any]:
        """What cannot change once the study has started.

        Raises:
            StudyError: If it has not been started.
        """
        is_new = self.config.storage is None and not self.paths.output.is_dir()
        definition = None if is_new else self.storage.definition
        if definition is None:
            raise StudyError(
                f"the study {self.name!r} has not been started; run `paretune search {self.file}` "
                "first"
            )
        return definition

    @property
    def pins(self) -> Pins:
        """Its pins in the store."""
        return Pins(self.store, self.name, self.definition["uid"])

    @property
    def is_of_this_machine(self) -> bool:
        """Whether this machine is like the one that measured: its processor and its cores.

        Raises:
            StudyError: If the study has not been started.
        """
        here = fingerprint()
        machine = self.definition.get("machine")  # not kept by the first versions
        return machine is None or bool(machine == [here["processor"], here["cores"]])

    def history(self) -> History:
        """Return the trials in the storage, also those of a search that is running now.

        Raises:
            StudyError: If the study has not been started.
        """
        definition, kept = self.definition, self.storage.wish
        objectives = [Objective(**values) for values in definition["objectives"]]
        constraints = [Constraint(**values) for values in definition["constraints"]]
        records = self.storage.records(held=True)
        written = self.config.wish.to_wish(self.config.space.batch_size, {})
        wish = written if kept is None else Wish.from_dict(kept)
        history = History(objectives, constraints, definition["quality_metric"], records, wish)
        history.confirmed = list(self.storage.confirmed().points)
        return history

    @contextmanager
    def placed(self, *, joins: bool) -> Iterator[None]:
        """Hold the study's lock file in this context, or (``joins``) that of the next free place.

        Raises:
            StudyError: If another process holds it and this one does not join.
        """
        with ExitStack() as held:
            while True:
                try:
                    held.enter_context(exclusive(self.paths.lock))
                    break
                except StudyError:
                    if not joins:
                        raise
                    self.paths.place += 1
            yield

    @contextmanager
    def owned(self) -> Iterator[None]:
        """Own the study in this context: no other process, on any host, writes to it.

        Raises:
            StudyError: If another process does, or it has not been started.
        """
        with exclusive(self.paths.lock), self.storage.owned():
            yield


def load_history(path: Path) -> History:
    """Return the history of a study from its storage.

    Raises:
        ConfigError: If the study file has mistakes.
        StudyError: If the study has not been started.
    """
    return OpenStudy(path).history()


def describe_workload(workload: str, folder: Path) -> WorkloadInfo:
    """Load a workload in a separate process and describe it.

    Raises:
        WorkloadError: If it cannot be loaded or breaks its protocol.
    """
    with tempfile.TemporaryDirectory() as name:
        settings = WorkerSettings(workload, folder, Path(name) / "store", Path(name) / "log")
        with BuildWorker(settings) as worker:
            return worker.describe()
