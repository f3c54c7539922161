"""Load at a rate: requests are sent when they are due, whether or not others were answered."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from paretune.runners.measure.load.arrivals import Arrivals
from paretune.runners.measure.statistic import CONFIDENCE, Statistic
from paretune.search.deliver.live.service import Answer, Connection, Service
from paretune.spaces import ServiceError

_BLOCKS = 30
"""Blocks of requests in a row that the bootstrap draws from. Chosen by judgement: each must be
longer than a queue lasts, and there must be enough of them.
"""

_RESAMPLES = 1000
"""Bootstrap samples of an interval."""

_KEPT_ANSWERS = 256
"""Answers under load that are kept to be compared. Chosen by judgement."""

_START_S = 0.2
"""Seconds between the last connection and the first request."""


@dataclass(frozen=True)
class OfferedLoad:
    """What came of requests at a rate.

    Attributes:
        arrivals: When they were due, in words.
        rate_per_s: The rate that was offered.
        latency_ms: For each request in order, milliseconds from when it was due to the last byte of
            its answer. A request without an answer counts as one that took the timeout, at least.
        failed: How many were refused or not answered in time.
        first_failure: Why the first of them was; empty without any.
        lateness_ms: For each request that was sent, how much later than it could: its due time, or
            when a connection was free. It is the client's own fault.
        answered: The answers to the first requests, by place of the request.
    """

    arrivals: str
    rate_per_s: float
    latency_ms: NDArray[np.float64]
    failed: int
    first_failure: str
    lateness_ms: NDArray[np.float64]
    answered: dict[int, Answer]

    def latency(self, q: int) -> Statistic:
        """Return a percentile with its interval; see :func:`percentile_interval`."""
        return percentile_interval(self.latency_ms, q)

    @property
    def completed_per_s(self) -> float:
        """Requests per second that were answered."""
        return self.rate_per_s * (1 - self.failed / max(1, len(self.latency_ms)))


def offer(
    service: Service,
    messages: Sequence[bytes],
    arrivals: Arrivals,
    connections: int,
    timeout_s: float,
) -> OfferedLoad:
    """Send requests as they are due, over several connections.

    A connection carries one request at a time. If all are taken, a request waits, and the wait is
    in its latency.

    Args:
        service: The service.
        messages: Encoded requests, sent in turn.
        arrivals: When each is due.
        connections: How many connections to open; more requests cannot be under way.
        timeout_s: What an unanswered request counts as, at least.

    Raises:
        UnreachableError: If no connection can be made.
    """
    count = len(arrivals.times_s)
    done, late = np.full(count, np.nan), np.full(count, np.nan)
    failures: list[tuple[int, str]] = []
    answered: dict[int, Answer] = {}
    places, lock = itertools.count(), threading.Lock()
    opened = [service.connect() for _ in range(connections)]
    for connection in opened:  # so that no request pays for the handshake
        connection.ask(messages[0])
    start = time.perf_counter() + _START_S
    give_up = start + arrivals.seconds + timeout_s

    def work(connection: Connection) -> None:
        while True:
            with lock:
                place = next(places)
            if place >= count:
                return
            free, due = time.perf_counter(), start + float(arrivals.times_s[place])
            if free > give_up:
                failures.append((place, "it was still waiting to be sent when the time was over"))
                continue
            if due > free:
                time.sleep(due - free)
            late[place] = time.perf_counter() - max(due, free)
            try:
                answer = connection.ask(messages[place % len(messages)])
            except ServiceError as error:
                failures.append((place, str(error)))
            else:
                if place < _KEPT_ANSWERS:
                    answered[place] = answer
            done[place] = time.perf_counter() - due

    threads = [threading.Thread(target=work, args=(each,), daemon=True) for each in opened]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        for connection in opened:
            connection.close()
    lost = [place for place, _ in failures]
    done[lost] = np.fmax(np.nan_to_num(done[lost]), timeout_s)
    first = min(failures, default=(0, ""))[1]
    return OfferedLoad(
        arrivals.name,
        arrivals.rate_per_s,
        done * 1e3,
        len(failures),
        first,
        late[~np.isnan(late)] * 1e3,
        answered,
    )


def percentile_interval(times: NDArray[np.float64], q: int, seed: int = 0) -> Statistic:
    """Return a percentile of times in order, with its 95 % interval by a block bootstrap.

    Neighbours in a queue wait together, so whole blocks of neighbours are drawn, around the end
    (H. Künsch, "The jackknife and the bootstrap for general stationary observations", 1989; Politis
    and Romano's circular variant, 1992). The interval is the basic percentile one.

    Args:
        times: At least one, in order of arrival.
        q: The percentile.
        seed: Of the draws.
    """
    count = len(times)
    value = float(np.percentile(times, q))
    length = max(1, count // _BLOCKS)
    random = np.random.default_rng(seed)
    blocks = -(-count // length)
    drawn = []
    for _ in range(_RESAMPLES):
        starts = random.integers(0, count, blocks)
        rows = (starts[:, None] + np.arange(length)).ravel()[:count] % count
        drawn.append(np.percentile(times[rows], q))
    tail = 50 * (1 - CONFIDENCE)
    low, high = np.percentile(drawn, [tail, 100 - tail])
    return Statistic(value, float(low), float(high))
