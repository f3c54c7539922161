"""The use of a store: many studies at once, or a single one that removes files."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import TracebackType

from paretune.runners.file_lock import locked
from paretune.runners.store.artifact_store import ArtifactStore


class StoreUse:
    """Marks a store as used by a process that builds or measures; a context manager.

    A shared lock (``flock``): any number of studies hold it, and it ends with its process. Removing
    files needs exclusive use of the store. A study that finds others at work does not wait for
    them, because they may take all night: it continues with a store that is too large, and tries
    again later. So the only wait is for another study's removal of files, which takes moments.

    Args:
        store: The artifact store.
    """

    def __init__(self, store: ArtifactStore) -> None:
        self._path = store.root / "in-use"
        self._shared: ExitStack | None = None

    def __enter__(self) -> StoreUse:
        self._shared = ExitStack()
        self._share()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._shared is not None:
            self._shared.close()
            self._shared = None

    @contextmanager
    def alone(self) -> Iterator[bool]:
        """Use the store exclusively if nobody else uses it; yield whether that worked.

        Between the two kinds of lock there is a moment without a lock, in which another study may
        remove files. Only pinned files are sure to exist afterwards.

        Raises:
            RuntimeError: If the store is not in use by this process.
        """
        if self._shared is None:
            raise RuntimeError("a store must be in use before it can be used exclusively")
        self._shared.close()
        try:
            with ExitStack() as own:
                is_alone = True
                try:
                    own.enter_context(locked(self._path, fcntl.LOCK_EX | fcntl.LOCK_NB))
                except BlockingIOError:
                    is_alone = False
                yield is_alone
        finally:
            self._share()

    def _share(self) -> None:
        if self._shared is not None:
            self._shared.enter_context(locked(self._path, fcntl.LOCK_SH, create=True))
