"""File locks: advisory (``flock``), and gone with their process, in whatever way that ends."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(path: Path, how: int = fcntl.LOCK_EX, *, create: bool = False) -> Iterator[int]:
    """Lock a file or folder, waiting for it unless told otherwise.

    Args:
        path: What to lock. A lock file is never removed: otherwise, two processes could lock two
            files of one name.
        how: ``LOCK_EX``, or ``LOCK_SH`` for any number of holders; with ``LOCK_NB`` it does not
            wait.
        create: Whether to make the file if it is missing.

    Yields:
        The descriptor. Children that inherit it hold the lock as well.

    Raises:
        BlockingIOError: If it does not wait and another process holds the lock.
        OSError: If the file is missing, or cannot be opened.
    """
    flags = os.O_RDWR | os.O_CREAT if create else os.O_RDONLY
    descriptor = os.open(path, flags | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(descriptor, how)
        yield descriptor
    finally:
        # Close, but do not unlock: a child that inherited the descriptor still holds the lock.
        os.close(descriptor)


def sign(descriptor: int) -> None:
    """Write this process into a lock file that it holds."""
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, str(os.getpid()).encode(), 0)
