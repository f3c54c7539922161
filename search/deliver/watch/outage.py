"""Outages: tells a restart from a service that is down."""

from __future__ import annotations

from collections import deque

import numpy as np

from paretune.search.deliver.watch.event import Event, Kind
from paretune.search.deliver.watch.observation import Failed, Request
from paretune.search.deliver.watch.settings import WatchSettings

_GAP_FACTOR = 20.0
"""A pause this many times as long as usual between requests may be a restart. Chosen by
judgement: of Poisson arrivals, one in 5e8 is.
"""

_SHORTEST_GAP_S = 1.0
"""Seconds; no service starts faster. Chosen by judgement."""

_FEWEST_PAUSES = 20
"""Pauses from which the usual one is told. Chosen by judgement."""

_COLD_FACTOR = 2.0
"""A first call this many times as slow as the p95 is cold. Chosen by judgement: first calls of
ONNX Runtime and OpenVINO took 3 to 100 times as long as later ones.
"""

_FEWEST_FAILURES = 2
"""Requests in a row without an answer that make an outage; a single one is lost now and then.
Chosen by judgement.
"""


class Outage:
    """Follows whether a service answers at all.

    A restart is an outage that ends within ``restart_s``, or a pause in a log followed by a cold
    call. The first calls afterwards are not counted as latencies.

    Args:
        settings: How to decide.
        p95_ms: The reference's p95.

    Attributes:
        is_down: Whether the service is unreachable for longer than a restart takes.
    """

    def __init__(self, settings: WatchSettings, p95_ms: float) -> None:
        self._settings, self.p95_ms = settings, p95_ms
        self._pauses: deque[float] = deque(maxlen=200)
        self._last_s: float | None = None
        self._failing_since_s: float | None = None
        self._failures = 0
        self._cold_left = 0
        self.is_down = False

    def see(self, request: Request) -> tuple[list[Event], bool]:
        """Take a request.

        Returns:
            The events, and whether its latency counts.
        """
        now = request.time_s
        if request.failed is Failed.UNREACHABLE:
            return self._see_failure(now), False
        events: list[Event] = []
        if self._failures >= _FEWEST_FAILURES or self.is_down:
            events.append(self._ended(now))
        elif (gap := self._gap(request)) is not None:
            text = f"a pause of {gap:.3g} s, then a cold call of {request.latency_ms:.4g} ms"
            events.append(self._restart(now, now - gap, text))
        self._note(now)
        self._failing_since_s, self._failures = None, 0
        if self._cold_left:
            self._cold_left -= 1
            return events, False
        return events, request.counts

    def _see_failure(self, now: float) -> list[Event]:
        if self._failing_since_s is None:
            self._failing_since_s = now if self._last_s is None else self._last_s
        self._failures += 1
        lasted = now - self._failing_since_s
        if self.is_down or self._failures < _FEWEST_FAILURES or lasted < self._settings.restart_s:
            return []
        self.is_down = True
        text = f"no answer for {lasted:.3g} s; a restart takes {self._settings.restart_s:g} s"
        since = self._failing_since_s
        return [Event(Kind.DEGRADED, "reachability", now, since, text, self._failures)]

    def _ended(self, now: float) -> Event:
        since = now if self._failing_since_s is None else self._failing_since_s
        lasted = now - since
        if self.is_down:
            self.is_down = False
            self._cold_left = self._settings.warm_up
            text = f"it answers again, after {lasted:.3g} s"
            return Event(Kind.RECOVERED, "reachability", now, since, text, self._failures)
        return self._restart(now, since, f"{self._failures} requests unanswered in {lasted:.3g} s")

    def _restart(self, now: float, since: float, text: str) -> Event:
        self._cold_left = self._settings.warm_up
        text = f"{text}; the next {self._cold_left} calls are not counted"
        return Event(Kind.RESTART, "service", now, since, text, self._failures)

    def _gap(self, request: Request) -> float | None:
        """Return a pause that a restart explains, in seconds."""
        if self._last_s is None or request.latency_ms is None or not request.counts:
            return None
        gap = request.time_s - self._last_s
        is_cold = request.latency_ms >= _COLD_FACTOR * self.p95_ms
        if gap < _SHORTEST_GAP_S or not is_cold or len(self._pauses) < _FEWEST_PAUSES:
            return None
        return gap if gap >= _GAP_FACTOR * float(np.median(self._pauses)) else None

    def _note(self, now: float) -> None:
        if self._last_s is not None:
            self._pauses.append(now - self._last_s)
        self._last_s = now
