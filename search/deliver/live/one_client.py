"""One client in a closed loop: how long an answer takes while nobody else asks."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from paretune.runners.measure.statistic import Statistic
from paretune.runners.metric import MEDIAN_LATENCY, USUAL_LATENCY, calls_for
from paretune.runners.runtimes.launch import percentile
from paretune.runners.runtimes.launched.timing import steady, warm_up
from paretune.search.deliver.live.live_settings import LiveSettings
from paretune.search.deliver.live.service import Connection, Counters, Service
from paretune.spaces import ServiceError

LIVE_RESOLUTION = 0.08
"""Relative half-width below which the times of a service say nothing: connections of one minute do
not show how a server varies from hour to hour. Two measurements of an untouched MLServer, minutes
apart beside other work, differed by 14 %. Chosen by judgement from that.
"""

_PINGS = 30
"""Round trips without a model, per connection. Chosen by judgement."""

_SPIN_S = 0.02
"""Seconds of arithmetic that show whether this machine has a processor for the client."""

FEWEST_CPU_SHARE = 0.9
"""Share of its time that a client's arithmetic must get a processor, or the client's machine is
busy. The threshold found a busy neighbour in 24 of 25 launches (see docs/measurement.md).
"""


@dataclass(frozen=True)
class OneClient:
    """The times of requests of one size, one after the other.

    Attributes:
        size: Samples of a request.
        times_ms: Milliseconds of each request, by connection: from the first byte sent to the last
            one received. Encoding and decoding are not in it.
        ping_ms: Milliseconds of round trips without a model, by connection; empty if there is no
            such request.
        client_ms: Median milliseconds in which the client encodes a request, and decodes the
            answer.
        cpu_shares: Share of its time that this machine gave to the client, by connection.
        parts_ms: Mean milliseconds by part of a request, as the server counted.
    """

    size: int
    times_ms: tuple[tuple[float, ...], ...]
    ping_ms: tuple[tuple[float, ...], ...]
    client_ms: float
    cpu_shares: tuple[float, ...]
    parts_ms: Mapping[str, float]

    def joined(self, later: OneClient) -> OneClient:
        """Return the times of both rounds of the same requests as one measurement."""
        return replace(
            later,
            times_ms=self.times_ms + later.times_ms,
            ping_ms=self.ping_ms + later.ping_ms,
            cpu_shares=self.cpu_shares + later.cpu_shares,
        )

    def latency(self, q: int) -> Statistic | None:
        """Return a percentile with its interval over connections; ``None`` with too few requests.

        Connections of one client share a server, so the interval tells how its times vary now.
        """
        if min(map(len, self.times_ms)) < calls_for(q):
            return None
        each = [percentile(times, q) for times in self.times_ms]
        return Statistic.over_launches(each, LIVE_RESOLUTION)

    @cached_property
    def statistics(self) -> dict[str, Statistic]:
        """The p50 and the p95, by metric; without the p95 if there were too few requests."""
        wanted = {MEDIAN_LATENCY: self.latency(50), USUAL_LATENCY: self.latency(95)}
        return {name: each for name, each in wanted.items() if each is not None}

    @property
    def network_ms(self) -> Statistic | None:
        """The median round trip without a model; ``None`` if there is no such request."""
        if not all(self.ping_ms):
            return None
        return Statistic.over_launches([float(np.median(each)) for each in self.ping_ms])

    @property
    def throughput_per_s(self) -> float:
        """Samples per second of this one client."""
        mean = float(np.mean([time for times in self.times_ms for time in times]))
        return 1e3 * self.size / mean

    @property
    def is_disturbed(self) -> bool:
        """Whether the client's own machine was busy during most connections."""
        return float(np.median(self.cpu_shares)) < FEWEST_CPU_SHARE


def measure_one_client(
    service: Service, messages: Sequence[bytes], size: int, settings: LiveSettings, client_ms: float
) -> OneClient:
    """Time requests one after the other, over several connections in turn.

    A connection before them is not counted: a server that was just started is slower at first.

    Args:
        service: The service.
        messages: Encoded requests, sent in turn.
        size: Samples of each.
        settings: How much to measure.
        client_ms: The time of encoding and decoding, measured before.

    Raises:
        ServiceError: If a request is refused or not answered.
    """
    job = {
        "min_iterations": settings.min_calls,
        "max_iterations": settings.max_calls,
        "min_seconds": settings.min_seconds,
    }
    times, pings, shares = [], [], []
    before: Counters = {}
    for place in range(settings.connections + 1):
        connection = service.connect()

        def once(turn: int, connection: Connection = connection) -> float:
            begin = time.perf_counter_ns()
            connection.ask(messages[turn % len(messages)])
            return (time.perf_counter_ns() - begin) / 1e6

        try:
            warm_up(once, settings.warmup_seconds)
            if place == 1:
                before = service.counters()
            first = cpu_share()
            found = tuple(steady(once, job))
            if place == 0:
                continue
            times.append(found)
            shares.append((first + cpu_share()) / 2)
            pings.append(_pings(connection))
        finally:
            connection.close()
    parts = mean_parts(before, service.counters())
    return OneClient(size, tuple(times), tuple(pings), client_ms, tuple(shares), parts)


def mean_parts(before: Counters, after: Counters) -> dict[str, float]:
    """Return mean milliseconds by part between two readings of a server's counters."""
    found = {}
    for part, (total, count) in after.items():
        earlier_total, earlier_count = before.get(part, (0.0, 0.0))
        if count > earlier_count:
            found[part] = max(0.0, total - earlier_total) / (count - earlier_count)
    return found


def cpu_share() -> float:
    """Return the share of its time that this thread gets a processor, by 20 ms of arithmetic."""
    begin, used = time.perf_counter(), time.thread_time()
    while time.perf_counter() - begin < _SPIN_S:
        pass
    return (time.thread_time() - used) / (time.perf_counter() - begin)


def _pings(connection: Connection) -> tuple[float, ...]:
    found = []
    with suppress(ServiceError):
        for _ in range(_PINGS):
            begin = time.perf_counter_ns()
            connection.ping()
            found.append((time.perf_counter_ns() - begin) / 1e6)
    return tuple(found[1:])
