"""One process writes to a study at a time."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from paretune.spaces import StudyError


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold a lock file; the operating system releases it when the process ends, in whatever way.

    Raises:
        StudyError: If another process holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 32).decode() or "another process"
            raise StudyError(
                f"this study is being searched by process {holder}; wait for it or end it first"
            ) from None
        os.ftruncate(descriptor, 0)
        os.write(descriptor, str(os.getpid()).encode())
        yield
    finally:
        os.close(descriptor)
