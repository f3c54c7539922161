"""Digests of files that are too large to be read in every process, kept until a file changes."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from paretune.runners.store.artifact import file_digest

_SETTLED_NS = 2_000_000_000
"""A file must be this old, in nanoseconds, before its digest is kept: a change within the same tick
of the file system's clock would not be seen. Git calls such files "racily clean".
"""


def known_digest(files: Sequence[Path], view: str, read: Callable[[], str]) -> str:
    """Return a digest of files, without reading them if none has changed since it was made.

    A file is taken for unchanged if its place, size, inode and times of change are the same.

    Args:
        files: The files, in order.
        view: What of them, and how, is read: a digest is kept for each.
        read: Makes the digest.
    """
    seen, newest = _marks(files)
    place = f"{files[0].resolve()}\n{len(files)}\n{view}"
    kept = _folder() / f"{hashlib.sha256(place.encode()).hexdigest()}.json"
    with suppress(OSError, ValueError, TypeError, KeyError):
        known = json.loads(kept.read_text("utf-8"))
        if known["marks"] == seen and isinstance(known["digest"], str):
            return str(known["digest"])
    found = read()
    if seen == _marks(files)[0] and time.time_ns() - newest > _SETTLED_NS:
        _keep(kept, json.dumps({"of": place, "marks": seen, "digest": found}))
    return found


def known_file_digest(path: Path) -> str:
    """Return the SHA-256 of a file's bytes (see :func:`known_digest`)."""
    return known_digest([path], "bytes", lambda: file_digest(path))


def _marks(files: Sequence[Path]) -> tuple[str, int]:
    """Return a digest of what tells that files have changed, and the time of the last change."""
    found, newest = hashlib.sha256(), 0
    for file in files:
        stat = file.stat()
        marks = (stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
        found.update(f"{file.resolve()} {marks}\n".encode())
        newest = max(newest, stat.st_mtime_ns, stat.st_ctime_ns)
    return found.hexdigest(), newest


def _keep(path: Path, text: str) -> None:
    """Write a file completely or not at all; what cannot be kept is only made again."""
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, aside = tempfile.mkstemp(dir=path.parent)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
                stream.write(text)
            Path(aside).replace(path)
        except OSError:
            Path(aside).unlink(missing_ok=True)


def _folder() -> Path:
    if cache := os.environ.get("XDG_CACHE_HOME"):
        return Path(cache) / "paretune" / "digests"
    try:
        return Path.home() / ".cache" / "paretune" / "digests"
    except RuntimeError:  # a user without a home
        return Path(tempfile.gettempdir()) / f"paretune-digests-{os.getuid()}"
