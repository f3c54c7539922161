"""The artifact store: files named by their content, and the records of the stages that made them.

    objects/ab/abcd…   a file, named by the SHA-256 of its bytes
    stages/key.json    a stage's result, named by the digest of everything it depends on
    outcomes/key.json  a job's outcome, named by the job's key (see runners/execute)
    claims/key         locked by the process that runs that stage
    executions.jsonl   a line when a stage begins, and one when its output is kept
    scratch/           work in progress: folders, each locked while its process lives
    pins/study.uid     files that a study needs and no study may evict: one digest per line;
                       if you delete a study, delete its file of pins
    in-use             locked, shared, by every study that builds or measures

A file is written under another name, flushed, then renamed: it exists completely or not at all.
"""

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from paretune.runners.file_lock import locked
from paretune.spaces import StoreError

State = Literal["whole", "missing", "damaged"]

_KEPT_STAGES = ("reference", "import-model")


@dataclass(frozen=True)
class StageRecord:
    """The result of one execution of a stage.

    Attributes:
        stage: Name of the stage.
        key: Digest of everything the output depends on.
        params: The stage's parameters.
        parent: Digest of its input object, or ``None`` for the first stage.
        output: Digest of its output object; empty for a stage that only yields metrics.
        seconds: Wall-clock time it took.
        metrics: Metrics it observed, such as the quality reached.
        train_losses: The mean training loss of each epoch, if it trained.
    """

    stage: str
    key: str
    params: Mapping[str, Any]
    parent: str | None
    output: str
    seconds: float
    metrics: Mapping[str, float] = field(default_factory=dict)
    train_losses: Sequence[float] = field(default_factory=list)


class ArtifactStore:
    """Files by content and stage records by key, under one folder.

    Args:
        root: The store's folder; made if it is missing.

    Raises:
        StoreError: If the folder cannot be made or written.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        try:
            for name in ("objects", "stages", "claims", "scratch", "pins"):
                (self.root / name).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"cannot create the artifact store {self.root}: {error}; choose another "
                "`output_dir`"
            ) from error

    def put(self, path: Path) -> str:
        """Add a file to the store and return its digest.

        The same bytes are kept only once.
        """
        name = file_digest(path)
        target = self._object(name)
        if not target.exists():
            target.parent.mkdir(exist_ok=True)
            with self._renamed_to(target) as aside:
                shutil.copyfile(path, aside)
        return name

    def get(self, name: str) -> Path | None:
        """Return the path of an object, or ``None`` if it is missing or damaged.

        The bytes are compared with the name; a damaged file is removed, so that its stage makes it
        again.
        """
        path, state = self._object(name), self.state(name)
        if state == "damaged":
            path.unlink(missing_ok=True)
        return path if state == "whole" else None

    def state(self, name: str) -> State:
        """Say whether an object is whole, damaged or missing; a damaged one is not removed."""
        path = self._object(name)
        if not path.is_file():
            return "missing"
        return "whole" if file_digest(path) == name else "damaged"

    def names(self) -> list[str]:
        """Return the names of all objects, damaged or not."""
        return [path.name for path in self._objects()]

    def record(self, key: str) -> StageRecord | None:
        """Return the record of a stage, or ``None`` if it or its output is missing or damaged."""
        record = self.note(key)
        if record is None or (record.output and self.get(record.output) is None):
            return None
        return record

    def note(self, key: str) -> StageRecord | None:
        """Return the record of a stage, even if its output is gone."""
        try:
            record = StageRecord(**json.loads(self._stage(key).read_text("utf-8")))
        except (OSError, ValueError, TypeError):
            return None
        return record if record.key == key else None

    def commit(self, record: StageRecord) -> None:
        """Keep the record of a finished stage, whose output is already in the store."""
        self.write(self._stage(record.key), json.dumps(asdict(record), indent=1))

    def write(self, path: Path, text: str) -> None:
        """Write a text file in the store's folder, completely or not at all."""
        with self._renamed_to(path) as aside:
            aside.write_text(text, "utf-8")

    @contextmanager
    def claim(self, key: str) -> Iterator[None]:
        """Hold a stage: one process runs it, and others that need it wait.

        A claim ends with its process, even after a kill. The empty lock file stays: if it were
        removed, two processes could lock two files of the same name.
        """
        with locked(self.root / "claims" / key, create=True):
            yield

    def log(self, event: Literal["started", "finished"], stage: str, key: str) -> None:
        """Log that a stage begins, or that its output is kept."""
        entry = {"event": event, "stage": stage, "key": key, "pid": os.getpid(), "at": time.time()}
        log = os.open(self._log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            os.write(log, f"{json.dumps(entry)}\n".encode())
        finally:
            os.close(log)

    def executions(self) -> list[dict[str, Any]]:
        """Return the log's entries in order, without lines torn by a power cut."""
        entries = []
        for line in self._log.read_text("utf-8").splitlines() if self._log.exists() else []:
            with suppress(ValueError):
                entries.append(json.loads(line))
        return entries

    def size_bytes(self) -> int:
        """Return the size of all objects."""
        return sum(path.stat().st_size for path in self._objects())

    @property
    def pins(self) -> Path:
        """The folder with one file of pins per study (see :class:`Pins`)."""
        return self.root / "pins"

    def pinned(self) -> dict[str, set[str]]:
        """Return the digests that studies have pinned, by the name of each study's file."""
        return {
            path.name: set(path.read_text("utf-8", errors="replace").split())
            for path in self.pins.iterdir()
            if path.is_file()
        }

    def evict(self, limit_bytes: int, keep: Collection[str] = ()) -> int:
        """Remove outputs of stages until the objects fit a limit; no stage may be running.

        Files that took the fewest seconds per byte go first. The reference's weights, pinned files
        and files that no stage made (such as inputs) stay. The records stay as well: a build that
        needs a removed file runs its stage again, and a build that starts from a later file does
        not.

        Args:
            limit_bytes: Limit on the size of all objects.
            keep: Digests of objects that stay.

        Returns:
            Bytes removed.
        """
        kept = set(keep).union(*self.pinned().values())
        sizes = {path.name: path.stat().st_size for path in self._objects()}
        seconds: dict[str, float] = {}
        for path in (self.root / "stages").glob("*.json"):
            record = self.note(path.stem)
            if record and record.output in sizes:
                is_kept = record.stage in _KEPT_STAGES or record.output in kept
                cost = float("inf") if is_kept else record.seconds
                seconds[record.output] = max(cost, seconds.get(record.output, 0.0))
        total, removed = sum(sizes.values()), 0
        for name in sorted(seconds, key=lambda name: seconds[name] / max(sizes[name], 1)):
            if total - removed <= limit_bytes or seconds[name] == float("inf"):
                break
            self._object(name).unlink(missing_ok=True)
            removed += sizes[name]
        return removed

    def sweep(self) -> None:
        """Remove leftovers of killed processes from scratch."""
        for folder in self.leftovers():
            shutil.rmtree(folder, ignore_errors=True)

    def leftovers(self) -> list[Path]:
        """Return the folders in scratch that no process holds: their processes were killed."""
        found, scratch = [], self.root / "scratch"
        with suppress(BlockingIOError), locked(scratch, fcntl.LOCK_EX | fcntl.LOCK_NB):
            for folder in scratch.iterdir():
                with suppress(OSError), locked(folder, fcntl.LOCK_EX | fcntl.LOCK_NB):
                    found.append(folder)
        return found

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """Yield an empty folder for work in progress, removed at the end."""
        with ExitStack() as stack:
            # A sweeping process sees it created and locked in one step.
            with locked(self.root / "scratch", fcntl.LOCK_SH):
                name = tempfile.TemporaryDirectory(dir=self.root / "scratch")
                folder = Path(stack.enter_context(name))
                stack.enter_context(locked(folder, fcntl.LOCK_EX))
            yield folder

    @contextmanager
    def _renamed_to(self, target: Path) -> Iterator[Path]:
        try:
            with self.scratch() as folder:
                aside = folder / "file"
                yield aside
                with aside.open("rb") as file:
                    os.fsync(file.fileno())
                aside.replace(target)
        except OSError as error:
            raise StoreError(
                f"the artifact store cannot write {target}: {error}; free some space or choose "
                "another `output_dir`"
            ) from error

    def _objects(self) -> list[Path]:
        return list((self.root / "objects").glob("*/*"))

    @property
    def _log(self) -> Path:
        return self.root / "executions.jsonl"

    def _object(self, name: str) -> Path:
        return self.root / "objects" / name[:2] / name

    def _stage(self, key: str) -> Path:
        return self.root / "stages" / f"{key}.json"


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
