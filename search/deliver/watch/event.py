"""Events: what a watch tells, as data and as a line of text."""

from __future__ import annotations

import time
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    """The kinds of events."""

    STARTED = "started"
    DEGRADED = "degraded"
    SPIKE = "spike"
    RESTART = "restart"
    DRIFTED = "drifted"
    DIFFERENT_ANSWERS = "different answers"
    RECOVERED = "recovered"

    @property
    def is_alarm(self) -> bool:
        """Whether somebody has to look."""
        return self in (Kind.DEGRADED, Kind.DRIFTED, Kind.DIFFERENT_ANSWERS)


@dataclass(frozen=True)
class Event:
    """One event.

    Attributes:
        kind: What happened.
        what: What it happened to: ``latency``, ``errors``, ``reachability``, ``answers``,
            ``inputs`` or ``outputs``.
        time_s: When it was found, in seconds since 1970.
        since_s: When it began, as far as that can be told.
        text: By how much, in words.
        requests: Requests from when it began until it was found.
        ratio: The p50 latency since then as a multiple of the reference's, if that was measured.
        low: Lower end of its interval.
        high: Upper end of its interval.
    """

    kind: Kind
    what: str
    time_s: float
    since_s: float
    text: str
    requests: int = 0
    ratio: float | None = None
    low: float | None = None
    high: float | None = None

    @property
    def line(self) -> str:
        """The event in one line."""
        since = "" if self.since_s == self.time_s else f" (since {clock(self.since_s)})"
        return f"{clock(self.time_s)}  {self.kind}: {self.what}: {self.text}{since}"

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values for JSON; times as ISO 8601 in UTC."""
        interval = None if self.ratio is None else [self.ratio, self.low, self.high]
        return {
            "kind": str(self.kind),
            "what": self.what,
            "time": clock(self.time_s),
            "since": clock(self.since_s),
            "text": self.text,
            "requests": self.requests,
            "p50_ratio": interval,
        }


def clock(time_s: float) -> str:
    """Return seconds since 1970 as ISO 8601 in UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time_s))
