"""The artifact store as a build worker uses it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from paretune.runners.store.artifact_store import ArtifactStore


class WorkersStore(ArtifactStore):
    """A store that shows the worker's parent when it waits for a stage that another one runs.

    Args:
        root: The store's folder.
        waiting: A file that exists meanwhile.
    """

    def __init__(self, root: Path, waiting: Path) -> None:
        super().__init__(root)
        self._waiting = waiting

    @contextmanager
    def claim(self, key: str) -> Iterator[None]:
        """Hold a stage (see :class:`ArtifactStore`)."""
        with ExitStack() as held:
            self._waiting.touch()
            try:
                held.enter_context(super().claim(key))
            finally:
                self._waiting.unlink(missing_ok=True)
            yield
