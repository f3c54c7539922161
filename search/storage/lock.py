"""One process writes to a study at a time."""

import fcntl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from paretune.runners.file_lock import locked, sign
from paretune.spaces import StudyError


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold a study's lock file.

    Raises:
        StudyError: If another process holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as held:
        try:
            lock = locked(path, fcntl.LOCK_EX | fcntl.LOCK_NB, create=True)
            descriptor = held.enter_context(lock)
        except BlockingIOError:
            holder = path.read_text("utf-8") or "another process"
            raise StudyError(
                f"this study is being searched by process {holder}; wait for it or end it first"
            ) from None
        sign(descriptor)
        yield
