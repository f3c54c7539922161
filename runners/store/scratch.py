"""The scratch folder of a store: work in progress, in folders locked by their processes."""

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


class Scratch:
    """Folders for work in progress.

    Args:
        root: The folder that they are made in; it exists.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """Yield an empty folder for work in progress, removed at the end."""
        with ExitStack() as stack:
            # A sweeping process sees it created and locked in one step.
            with locked(self._root, fcntl.LOCK_SH):
                name = tempfile.TemporaryDirectory(dir=self._root)
                folder = Path(stack.enter_context(name))
                stack.enter_context(locked(folder, fcntl.LOCK_EX))
            yield folder

    def sweep(self) -> None:
        """Remove leftovers of killed processes from scratch."""
        for folder in self.leftovers():
            shutil.rmtree(folder, ignore_errors=True)

    def leftovers(self) -> list[Path]:
        """Return the folders in scratch that no process holds: their processes were killed."""
        found = []
        with suppress(BlockingIOError), locked(self._root, fcntl.LOCK_EX | fcntl.LOCK_NB):
            for folder in self._root.iterdir():
                with suppress(OSError), locked(folder, fcntl.LOCK_EX | fcntl.LOCK_NB):
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
