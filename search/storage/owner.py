"""The owner: the process that writes to a study, and whether it is known to be gone."""

from __future__ import annotations

import json
import os
import socket
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

_PROC = Path("/proc")


@dataclass(frozen=True)
class Owner:
    """A process that writes to a study.

    Attributes:
        token: Unique for each ownership, also within one process.
        host: The name of its host.
        pid: Its process id there.
        place: The scope of that id: the host's name, its boot id, and the namespace of process ids.
            Two machines may have the same name, and containers on one machine number their
            processes separately. Empty without ``/proc``.
        started: When the process started, in clock ticks since boot, because ids are reused.
        since: When it became the owner, ISO 8601 in UTC by its own clock.
        beats: Number of heartbeats since then.
        last_beat: Time of the last heartbeat, ISO 8601 in UTC by its own clock; for people only.
    """

    token: str
    host: str
    pid: int
    place: str
    started: int
    since: str
    beats: int = 0
    last_beat: str = ""

    @classmethod
    def this_process(cls, token: str) -> Owner:
        """Return this process as an owner from now on."""
        host, pid = socket.gethostname(), os.getpid()
        now = _now()
        return cls(token, host, pid, place(), _start_ticks(pid) or 0, now, last_beat=now)

    def beat(self) -> Owner:
        """Return it with one more heartbeat."""
        return replace(self, beats=self.beats + 1, last_beat=_now())

    def is_gone(self) -> bool:
        """Tell whether its process is known to have ended; ``False`` if that is unknown.

        It is unknown after a reboot: the boot id differs, as on another host of the same name.
        """
        if not self.place or self.place != place():
            return False
        return _start_ticks(self.pid) != self.started and not _is_hidden(self.pid)

    def as_json(self) -> str:
        """Return it as JSON, different for each heartbeat."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Owner:
        """Undo :meth:`as_json`; fields of later versions are ignored."""
        known = cls.__dataclass_fields__
        return cls(**{key: value for key, value in json.loads(text).items() if key in known})

    @property
    def process(self) -> str:
        """The process in words."""
        return f"process {self.pid} on {self.host}"

    def __str__(self) -> str:
        return f"{self.process} (since {self.since}, last heartbeat {self.last_beat}, by its clock)"


def place() -> str:
    """Return the scope of this process's id; see :class:`Owner`."""
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        namespace = (_PROC / "self/ns/pid").readlink().name
    except OSError:
        return ""
    return f"{socket.gethostname()} {boot} {namespace}"


def _start_ticks(pid: int) -> int | None:
    """Return when a process started, in clock ticks since boot; ``None`` without such a process."""
    try:
        # The command, in parentheses, may contain anything, even spaces and parentheses.
        fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    state, ticks = fields[0], int(fields[19])
    return None if state in "ZX" else ticks  # a zombie no longer writes


def _is_hidden(pid: int) -> bool:
    """Tell whether a process exists that ``/proc`` hides (``hidepid``)."""
    if (_PROC / str(pid)).exists():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return False  # it has started just now


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
