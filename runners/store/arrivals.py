"""Arrivals: objects that come from a store's URL, and are compared with their digests."""

from __future__ import annotations

import hashlib
import time
from contextlib import suppress
from pathlib import Path, PurePosixPath

from paretune.runners.store.artifact import MANIFEST, Artifact, file_digest
from paretune.runners.store.remote_files import RemoteFiles
from paretune.runners.store.stored_object import State

_OLD_S = 7 * 24 * 3600.0
"""Seconds after which a download that nobody has continued is removed. Chosen by judgement."""


class Arrivals:
    """Downloads of objects. What has arrived of one stays when it is cut, and the next goes on.

    Args:
        remote: The files at the URL.
        folder: Where incomplete files lie; made if it is missing.
    """

    def __init__(self, remote: RemoteFiles, folder: Path) -> None:
        self._remote = remote
        self._folder = folder
        folder.mkdir(exist_ok=True)

    def fetch(self, name: str, target: Path) -> State:
        """Download an object; one process at a time may do this for one object.

        Args:
            name: Its digest.
            target: Where to put it. Nothing is put there unless it is whole.

        Raises:
            StoreError: If the transfer is cut and the server does not come back.
        """
        at = f"{place_of(name)}/{MANIFEST}"
        manifest = self._remote.read(at)
        if manifest is None:
            part = self._folder / name
            state = self._arrived(place_of(name), part, name)
            if state == "whole":
                part.replace(target)
            return state
        artifact = _artifact(name, manifest)
        if artifact is None:
            return "damaged"
        parts = {}
        for index, file in enumerate(artifact.files):
            parts[file.name] = self._folder / f"{name}-{index}"
            at = f"{place_of(name)}/{file.name}"
            if self._arrived(at, parts[file.name], file.sha256) != "whole":
                return "damaged"
        for file_name, part in parts.items():
            (target / file_name).parent.mkdir(parents=True, exist_ok=True)
            part.replace(target / file_name)
        (target / MANIFEST).write_bytes(manifest)
        return "whole"

    def manifest(self, name: str) -> Artifact | None:
        """Return what an artifact's manifest says; ``None`` if there is none or it is damaged."""
        text = self._remote.read(f"{place_of(name)}/{MANIFEST}")
        return None if text is None else _artifact(name, text)

    def sweep(self) -> None:
        """Remove downloads that nobody has continued for long."""
        for path in self._folder.iterdir():
            with suppress(FileNotFoundError):  # it has just arrived
                if time.time() - path.stat().st_mtime > _OLD_S:
                    path.unlink()

    def _arrived(self, at: str, part: Path, sha256: str) -> State:
        """Download a file and compare it with its digest.

        If it differs it is downloaded once more from its start: the first bytes may be left from a
        transfer of something else.
        """
        for _ in range(2):
            if not self._remote.download(at, part):
                return "missing"
            if file_digest(part) == sha256:
                return "whole"
            part.unlink()
        return "damaged"


def place_of(name: str) -> str:
    """Return where an object lies in a store, relative to it: a file, or an artifact's folder."""
    # Without a name it must not be the folder of all objects.
    return f"objects/{name[:2] or '-'}/{name or '-'}"


def _artifact(name: str, manifest: bytes) -> Artifact | None:
    """Return what a manifest says; ``None`` for a damaged one, or if files would lie elsewhere."""
    if hashlib.sha256(manifest).hexdigest() != name:
        return None
    artifact = Artifact.from_manifest(manifest.decode("utf-8"))
    paths = [PurePosixPath(file.name) for file in artifact.files]
    is_inside = not any(path.is_absolute() or ".." in path.parts for path in paths)
    return artifact if is_inside else None
