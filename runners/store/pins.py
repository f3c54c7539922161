"""Pins: the files of a shared store that a study needs, and that no study's eviction removes."""

from __future__ import annotations

import os
from collections.abc import Iterable

from paretune.runners.store.artifact_store import ArtifactStore


class Pins:
    """The pins of one study: a file of digests, one per line, in the store's folder ``pins``.

    They outlast the study's process, because another study may evict at any time. If you delete a
    study, delete its file of pins as well; nothing else is lost.

    Args:
        store: The artifact store.
        study: The study's name.
        uid: Distinguishes it from other studies of the same name.
    """

    def __init__(self, store: ArtifactStore, study: str, uid: str) -> None:
        self.store = store
        self.path = store.pins / f"{study}.{uid}"

    def replace(self, digests: Iterable[str]) -> None:
        """Pin these files and no others."""
        self.store.write(self.path, "".join(f"{name}\n" for name in sorted(set(digests))))
        self.store.share(self.path)

    def add(self, digests: Iterable[str]) -> None:
        """Pin these files in addition to the others.

        Raises:
            OSError: If the disk is full or cannot be written.
        """
        lines = "".join(f"{name}\n" for name in digests)
        if lines:
            file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            try:
                os.write(file, lines.encode())
            finally:
                os.close(file)
            self.store.share(self.path)
