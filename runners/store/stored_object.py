"""An object of the store on a disk: a single file, or an artifact's folder with its manifest."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Literal

from paretune.runners.store.artifact import MANIFEST, Artifact, file_digest

State = Literal["whole", "missing", "damaged"]
"""Whether an object has the content that its name is the digest of."""


def object_state(path: Path) -> State:
    """Compare an object with its name, which is its digest."""
    if path.is_file():
        return "whole" if file_digest(path) == path.name else "damaged"
    if not path.is_dir():
        return "missing"
    manifest = path / MANIFEST
    if not manifest.is_file() or file_digest(manifest) != path.name:
        return "damaged"
    return "whole" if all(file.is_whole(path) for file in read_manifest(path).files) else "damaged"


def read_manifest(folder: Path) -> Artifact:
    """Return what the manifest in an artifact's folder says.

    Raises:
        OSError: If there is none.
        ValueError: If it is not a manifest.
    """
    return Artifact.from_manifest((folder / MANIFEST).read_text("utf-8"))


def object_marks(path: Path) -> list[tuple[int, int, int]]:
    """Return what changes whenever a file of an object does; nothing if it is missing."""
    found = [each.stat() for each in sorted(_files(path))]
    return [(each.st_ino, each.st_size, each.st_mtime_ns) for each in found]


def object_bytes(path: Path) -> int:
    """Return the size of all files of an object; 0 if it is missing."""
    return sum(each.stat().st_size for each in _files(path))


def remove_object(path: Path) -> None:
    """Remove an object; it need not be there."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _files(path: Path) -> list[Path]:
    """Return the files of an object, which is one itself or has them in its folder."""
    return [each for each in (path, *path.rglob("*")) if each.is_file()]
