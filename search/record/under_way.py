"""The trials under way: those that are being built or measured at this moment.

If the process dies, one of these trials may have killed it; a waiting trial did not. They are kept
in a file next to the study and not in its storage, because they must be cleared when the study ends
with an error, and the error may be that the storage does not answer or the disk is full: a file can
still be removed then.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Collection
from dataclasses import dataclass
from glob import escape
from pathlib import Path

PLACE = "@"
"""What divides a study's name, in names of files, from the number of a process that joined it."""


@dataclass(frozen=True)
class Death:
    """The end of a process that did not end by itself.

    Attributes:
        session: Unique id of the process.
        numbers: The trials that were under way.
    """

    session: str
    numbers: tuple[int, ...]


class UnderWay:
    """Records which trials are under way, for the next process.

    As a context manager, it is cleared at the end, also after an error: then no trial ended the
    process.

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
        """Return how the last process died; ``None`` if it ended normally or that is unknown."""
        return _death(self._path)

    def others_deaths(self) -> list[Death]:
        """Return how other processes of the study died that wrote to the same folder.

        For a process that is alive, it is what is under way there.
        """
        name, suffix = self._path.stem.partition(PLACE)[0], self._path.suffix
        beside = self._path.parent
        paths = [beside / f"{name}{suffix}", *beside.glob(f"{escape(name)}{PLACE}*{suffix}")]
        found = [_death(path) for path in paths if path != self._path]
        return [death for death in found if death is not None]

    def note(self, numbers: Collection[int]) -> None:
        """Record what is under way from now on."""
        now = sorted(numbers)
        if now == self._noted:
            return
        try:
            self._path.write_text(json.dumps({"session": self._session, "numbers": now}), "utf-8")
        except OSError:
            self.clear()  # Better to blame no trial than those that were under way before.
        else:
            self._noted = now

    def clear(self) -> None:
        """Record that this process ends normally: no trial is to blame."""
        self._path.unlink(missing_ok=True)
        self._noted = []


def _death(path: Path) -> Death | None:
    try:
        values = json.loads(path.read_text("utf-8"))
        return Death(values["session"], tuple(values["numbers"]))
    except (OSError, ValueError, TypeError, KeyError):
        return None  # If a kill interrupted the write, it blames no trial.
