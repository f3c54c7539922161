"""The scratch folder of a store: work in progress, in folders locked by their processes.

What is locked are files: NFS locks no folders.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from paretune.runners.file_lock import locked
from paretune.spaces import StoreError

_LOCK = "lock"


class Scratch:
    """Folders for work in progress.

    Args:
        root: The folder that they are made in; it exists.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._sweeping = root.with_name(f"{root.name}.lock")

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """Yield an empty folder for work in progress, removed at the end."""
        with ExitStack() as stack:
            # A sweeping process sees it created and locked in one step.
            with locked(self._sweeping, fcntl.LOCK_SH, create=True):
                name = tempfile.TemporaryDirectory(dir=self._root)
                outer = Path(stack.enter_context(name))
                stack.enter_context(locked(outer / _LOCK, fcntl.LOCK_EX, create=True))
            (outer / "work").mkdir()
            yield outer / "work"

    def sweep(self) -> None:
        """Remove leftovers of killed processes from scratch."""
        for folder in self.leftovers():
            shutil.rmtree(folder, ignore_errors=True)

    def leftovers(self) -> list[Path]:
        """Return the folders in scratch that no process holds: their processes were killed."""
        found = []
        alone = fcntl.LOCK_EX | fcntl.LOCK_NB
        with suppress(BlockingIOError), locked(self._sweeping, alone, create=True):
            for folder in self._root.iterdir():
                lock = folder / _LOCK
                # Earlier versions locked the folder.
                with suppress(OSError), locked(lock if lock.is_file() else folder, alone):
                    found.append(folder)
        return found

    @contextmanager
    def renamed_to(self, target: Path) -> Iterator[Path]:
        """Yield a path to write, or a folder to fill; rename it to the target at the end.

        Raises:
            StoreError: If that fails.
        """
        try:
            with self.folder() as folder:
                aside = folder / target.name
                yield aside
                for path in [aside, *aside.rglob("*")]:
                    if path.is_file():
                        with path.open("rb") as file:
                            os.fsync(file.fileno())
                try:
                    aside.replace(target)
                except OSError:
                    # Another process may have kept the same folder meanwhile.
                    if not (aside.is_dir() and target.is_dir()):
                        raise
        except OSError as error:
            raise StoreError(
                f"the artifact store cannot write {target}: {error}; free some space or choose "
                "another `output_dir`"
            ) from error
