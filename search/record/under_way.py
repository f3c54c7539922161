"""What is under way: the trials that are being built or measured at this moment.

If the process dies, one of these may have killed it. What only waited did not. It is kept in a file
beside the study and not in its storage, because it must be cleared when the study ends by an error,
and the error may be that the storage is away or the disk is full: a file can still be removed then.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Death:
    """The end of a process that did not end by itself.

    Attributes:
        session: Which process it was; two never have the same.
        numbers: The trials that were under way.
    """

    session: str
    numbers: tuple[int, ...]


class UnderWay:
    """Says which trials are under way, for the process that comes after this one.

    Whatever ends it as a context manager, an error too, no trial ended the process: it is cleared.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._session = uuid.uuid4().hex
        self._noted: list[int] = []

    def __enter__(self) -> UnderWay:
        return self

    def __exit__(self, *error: object) -> None:
        self.clear()

    def death(self) -> Death | None:
        """Return how the last process died; ``None`` if it ended by itself, or nobody knows."""
        try:
            values = json.loads(self._path.read_text("utf-8"))
            return Death(values["session"], tuple(values["numbers"]))
        except (OSError, ValueError, TypeError, KeyError):
            return None  # Killed while it was written, it blames nobody.

    def note(self, numbers: Collection[int]) -> None:
        """Note what is under way from now on."""
        now = sorted(numbers)
        if now == self._noted:
            return
        try:
            self._path.write_text(json.dumps({"session": self._session, "numbers": now}), "utf-8")
        except OSError:
            self.clear()  # Rather blame nobody than what was under way before.
        else:
            self._noted = now

    def clear(self) -> None:
        """Note that this process ends by itself: nothing is to blame."""
        self._path.unlink(missing_ok=True)
        self._noted = []
