"""File locks: advisory (``flock``), and gone with their process, in whatever way that ends."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def locked(
    path: Path, how: int = fcntl.LOCK_EX, *, create: bool = False, everybody: bool = False
) -> Iterator[int]:
    """Lock a file or folder, waiting for it unless told otherwise.

    Args:
        path: What to lock. A lock file is never removed: otherwise, two processes could lock two
            files of one name.
        how: ``LOCK_EX``, or ``LOCK_SH`` for any number of holders; with ``LOCK_NB`` it does not
            wait.
        create: Whether to make the file if it is missing.
        everybody: Whether other users may lock it as well, once it is made.

    Yields:
        The descriptor. Children that inherit it hold the lock as well.

    Raises:
        BlockingIOError: If it does not wait and another process holds the lock.
        OSError: If the file is missing, or cannot be opened.
    """
    descriptor = _open(path, everybody) if create else os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, how)
        yield descriptor
    finally:
        # Close, but do not unlock: a child that inherited the descriptor still holds the lock.
        os.close(descriptor)


def sign(descriptor: int) -> None:
    """Write this process into a lock file that it holds, if it may write there."""
    with suppress(OSError):  # a file of another user may be open for reading only
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)


def _open(path: Path, everybody: bool) -> int:
    """Open a lock file, or make it, and return its descriptor.

    To open another user's file with ``O_CREAT`` is forbidden in the system's folder for temporary
    files (``fs.protected_regular``), even for root. A lock needs no right to write.
    """
    while True:
        try:
            return os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except PermissionError:
            return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            with suppress(FileExistsError):  # another process was faster
                made = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
                descriptor = os.open(path, made, 0o666)
                if everybody:
                    os.fchmod(descriptor, 0o666)  # the umask takes rights away
                return descriptor
