"""The artifact store: artifacts and files by content, and the records of what made them.

    objects/ab/abcd…   an artifact's folder, named by the SHA-256 of its manifest, or a single file
                       (samples, checkpoints), named by the SHA-256 of its bytes
    stages/key.json    a stage's result, named by the digest of all that it and the stages before
                       it read (see runners/build/keys.py): it has the digest of the output
    same/key           the key of a stage's record, by a digest of the content it started from
    outcomes/key.json  a job's outcome, named by the job's key (see runners/execute)
    claims/key         locked by the process that runs that stage
    executions.jsonl   a line when a stage begins, and one when its output is kept
    scratch/           work in progress: folders, each with a file that its process locks
    pins/study.uid     files that a study needs and no study may evict: one digest per line;
                       if you delete a study, delete its file of pins
    in-use             locked, shared, by every study that builds or measures

Files and folders are written under another name, flushed, then renamed: they exist completely or
not at all. Earlier versions kept a model as a single file; such a file is used as it is.

Machines that share no file system share a store at a URL; its copy on each of them is such a folder
(see runners/store/remote_store.py).
"""

import json
import shutil
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from paretune.runners.file_lock import locked
from paretune.runners.store.artifact import MANIFEST, Artifact, file_digest
from paretune.runners.store.execution_log import Event, ExecutionLog
from paretune.runners.store.scratch import Scratch
from paretune.runners.store.stage_record import StageRecord, read_record
from paretune.runners.store.stored_object import (
    State,
    object_bytes,
    object_marks,
    object_state,
    read_manifest,
    remove_object,
)
from paretune.spaces import StoreError

_KEPT_STAGES = ("reference", "import-model")


class ArtifactStore:
    """Artifacts and files by content and stage records by key, under one folder.

    Args:
        root: The store's folder; made if it is missing.
        waiting: A file that exists while this process waits for a claim of another one; it shows a
            worker's parent that the worker does not work.

    Raises:
        StoreError: If the folder cannot be made or written.
    """

    def __init__(self, root: Path, waiting: Path | None = None) -> None:
        self.root = root.resolve()
        self._waiting = waiting
        self._scratch = Scratch(self.root / "scratch")
        self._executions = ExecutionLog(self.root / "executions.jsonl")
        self._checked: dict[str, list[tuple[int, int, int]]] = {}
        try:
            for name in ("objects", "stages", "same", "claims", "scratch", "pins"):
                (self.root / name).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"cannot create the artifact store {self.root}: {error}; choose another "
                "`output_dir`"
            ) from error

    @property
    def url(self) -> str | None:
        """Where it is; ``None`` if that is its folder alone."""
        return None

    def put(self, path: Path, *, move: bool = False) -> str:
        """Add a copy of a file to the store, or (``move``) the file itself; return its digest.

        The same bytes are kept only once.
        """
        name = file_digest(path)
        target = self._object(name)
        if not target.exists():
            target.parent.mkdir(exist_ok=True)
            with self._scratch.renamed_to(target) as aside:
                if move:
                    path.replace(aside)
                else:
                    shutil.copyfile(path, aside)
        return name

    def put_artifact(self, artifact: Artifact, folder: Path) -> str:
        """Move an artifact's files into the store and return its digest.

        The same artifact is kept only once.

        Args:
            artifact: The artifact.
            folder: The folder of its files, in the store's scratch.
        """
        name = artifact.digest
        target = self._object(name)
        if not target.exists():
            target.parent.mkdir(exist_ok=True)
            with self._scratch.renamed_to(target) as aside:
                for file in artifact.files:
                    (aside / file.name).parent.mkdir(parents=True, exist_ok=True)
                    (folder / file.name).replace(aside / file.name)
                (aside / MANIFEST).write_text(artifact.manifest, "utf-8")
        return name

    def get(self, name: str) -> Path | None:
        """Return the path of a file, or of an artifact's first file; ``None`` without a whole one.

        The bytes are compared with the digest, once per process unless a file has changed since. A
        damaged object is removed, so that its stage makes it again.
        """
        path = self._object(name)
        seen = object_marks(path)
        if not seen or self._checked.get(name) != seen:
            if (state := object_state(path)) == "damaged":
                remove_object(path)
            if state != "whole":
                return None
            self._checked[name] = seen
        return path if path.is_file() else path / read_manifest(path).files[0].name

    def has(self, name: str) -> bool:
        """Tell whether an object is in the store, whole or damaged; quicker than :meth:`get`."""
        return self._object(name).exists()

    def artifact(self, name: str) -> Artifact | None:
        """Return what an artifact's manifest says.

        Returns:
            ``None`` if it is not in the store, or has no manifest because an earlier version made
            it.
        """
        try:
            return read_manifest(self._object(name))
        except (OSError, ValueError):
            return None

    def model_bytes(self, name: str) -> int:
        """Return the size of a model: of its artifact's files, or of the single file that it is."""
        artifact = self.artifact(name)
        return object_bytes(self._object(name)) if artifact is None else artifact.size_bytes

    def state(self, name: str) -> State:
        """Say whether an object is whole, damaged or missing; a damaged one is not removed."""
        return object_state(self._object(name))

    def names(self) -> list[str]:
        """Return the digests of all artifacts and files, damaged or not."""
        return self.names_here()

    def names_here(self) -> list[str]:
        """Return the digests of those that lie in the store's folder on this machine."""
        return [path.name for path in self._objects()]

    def remove(self, name: str) -> None:
        """Remove an object that nobody needs any more, if it is there."""
        remove_object(self._object(name))
        self._checked.pop(name, None)

    def settle(self) -> None:
        """Make sure that all that was put is where others find it: in a folder it is.

        Raises:
            StoreError: If it cannot be.
        """

    def drop_copy(self, name: str) -> None:
        """Remove an object from this machine if it is elsewhere, too: in a folder it is not."""

    def record(self, key: str) -> StageRecord | None:
        """Return the record of a stage, or ``None`` if it or its output is missing or damaged."""
        record = self.note(key)
        if record is None or (record.output and self.get(record.output) is None):
            return None
        return record

    def note(self, key: str) -> StageRecord | None:
        """Return the record of a stage, even if its output is gone."""
        try:
            return read_record(self.read(self._stage(key)), key)
        except (OSError, ValueError):
            return None

    def commit(self, record: StageRecord, same: str | None = None) -> StageRecord:
        """Keep the record of a finished stage, whose output is already in the store.

        Args:
            record: The record.
            same: The stage's key by the content it started from, to find the record by that, too.

        Returns:
            The record that counts from now on: another machine's, if that one has finished the same
            stage before.
        """

        def is_of_use(known: StageRecord | None) -> bool:
            return known is not None and (not known.output or self.has(known.output))

        own, key = json.dumps(asdict(record), indent=1), record.key
        kept = self.keep(self._stage(key), own, lambda text: is_of_use(read_record(text, key)))
        if same is not None:
            self.keep(self.root / "same" / same, key, lambda text: is_of_use(self.note(text)))
        return record if kept == own else read_record(kept, key) or record

    def same(self, same: str) -> StageRecord | None:
        """Return the record of a stage by the content that it started from."""
        try:
            return self.note(self.read(self.root / "same" / same))
        except (OSError, ValueError):
            return None

    def read(self, path: Path) -> str:
        """Return the text of a record in the store's folder.

        Raises:
            OSError: If there is none.
            ValueError: If it is not text.
        """
        return path.read_text("utf-8")

    def keep(
        self, path: Path, text: str, is_usable: Callable[[str], bool] = lambda text: True
    ) -> str:
        """Write a record, and return the text that counts.

        Where machines share a store at a URL, the first text of a record counts, as long as it is
        usable.

        Args:
            path: The record's place in the store's folder.
            text: What to write.
            is_usable: Tells whether what another machine wrote is of use.
        """
        self.write(path, text)
        return text

    def share(self, path: Path) -> None:
        """Show a file of the store's folder, such as pins, to the other machines of the store."""

    def write(self, path: Path, text: str) -> None:
        """Write a text file in the store's folder, completely or not at all."""
        with self._scratch.renamed_to(path) as aside:
            aside.write_text(text, "utf-8")

    @contextmanager
    def claim(self, key: str) -> Iterator[None]:
        """Hold a stage: one process runs it, and others that need it wait.

        A claim ends with its process, even after a kill. The empty lock file stays: if it were
        removed, two processes could lock two files of the same name.
        """
        with ExitStack() as held:
            if self._waiting is not None:
                self._waiting.touch()
            try:
                held.enter_context(locked(self.root / "claims" / key, create=True))
            finally:
                if self._waiting is not None:
                    self._waiting.unlink(missing_ok=True)
            yield

    def log(self, event: Event, stage: str, key: str) -> None:
        """Log that a stage begins, or that its output is kept."""
        self._executions.add(event, stage, key)

    def executions(self) -> list[dict[str, Any]]:
        """Return the log's entries in order, without lines torn by a power cut."""
        return self._executions.entries()

    def size_bytes(self) -> int:
        """Return the size of all objects."""
        return sum(map(object_bytes, self._objects()))

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

        Those that took the fewest seconds per byte go first. The reference's weights, pinned
        objects and files that no stage made (such as inputs) stay. The records stay as well: a
        build that needs a removed output runs its stage again, and a build that starts from a later
        output does not.

        Args:
            limit_bytes: Limit on the size of all objects.
            keep: Digests of objects that stay.

        Returns:
            Bytes removed.
        """
        kept = set(keep).union(*self.pinned().values())
        sizes = {path.name: object_bytes(path) for path in self._objects()}
        seconds: dict[str, float] = {}
        for path in (self.root / "stages").glob("*.json"):
            record = read_record(path.read_text("utf-8", errors="replace"), path.stem)
            if record and record.output in sizes:
                is_kept = record.stage in _KEPT_STAGES or record.output in kept
                cost = float("inf") if is_kept else record.seconds
                seconds[record.output] = max(cost, seconds.get(record.output, 0.0))
        total, removed = sum(sizes.values()), 0
        for name in sorted(seconds, key=lambda name: seconds[name] / max(sizes[name], 1)):
            if total - removed <= limit_bytes or seconds[name] == float("inf"):
                break
            remove_object(self._object(name))
            removed += sizes[name]
        return removed

    def sweep(self) -> None:
        """Remove leftovers of killed processes from scratch."""
        self._scratch.sweep()

    def leftovers(self) -> list[Path]:
        """Return the folders in scratch that no process holds: their processes were killed."""
        return self._scratch.leftovers()

    def scratch(self) -> AbstractContextManager[Path]:
        """Yield an empty folder for work in progress, removed at the end."""
        return self._scratch.folder()

    def _objects(self) -> list[Path]:
        return list((self.root / "objects").glob("*/*"))

    def _object(self, name: str) -> Path:
        # Without a name it must not be the folder of all objects.
        return self.root / "objects" / (name[:2] or "-") / (name or "-")

    def _stage(self, key: str) -> Path:
        return self.root / "stages" / f"{key}.json"
