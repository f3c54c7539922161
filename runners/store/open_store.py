"""Opening a store: a folder, or a URL with a folder as its cache."""

from __future__ import annotations

from pathlib import Path

from paretune.runners.store.artifact_store import ArtifactStore


def open_store(root: Path, url: str | None = None, waiting: Path | None = None) -> ArtifactStore:
    """Return the store in a folder, or the one at a URL, whose cache the folder is.

    Args:
        root: The folder.
        url: A URL of fsspec, such as ``s3://bucket/prefix``; ``None`` for the folder alone.
        waiting: See :class:`ArtifactStore`.

    Raises:
        StoreError: If the folder cannot be written, or no installed package knows the protocol.
    """
    if url is None:
        return ArtifactStore(root, waiting)
    from paretune.runners.store.remote_store import RemoteStore

    return RemoteStore(root, url, waiting)
