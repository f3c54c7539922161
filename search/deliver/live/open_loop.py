"""Load at a rate: requests are sent when they are due, whether or not others were answered."""

from __future__ import annotations

import itertools
import math
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from paretune.runners.measure.load.arrivals import Arrivals
from paretune.runners.measure.statistic import CONFIDENCE, Statistic
from paretune.runners.measure.student import student_quantile
from paretune.runners.runtimes.launch import percentile
from paretune.search.deliver.live.service import Answer, Connection, Service
from paretune.spaces import ServiceError

_SECTIONS = 5
"""Sections of a load that give the interval of a percentile. In a simulated queue at 60 % load
(M/M/1, 2,000 requests) five cover the true p99 in 92 % of 150 runs and the p95 in 97 %; ten in 82 %
and 95 %, a bootstrap of 30 blocks in 77 % and 91 %. At 80 % load, five cover the p99 in 83 %.
"""

_SHORTEST_MS = 1e-6
"""What a time counts as at least, so that it has a logarithm."""

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


def percentile_interval(times: Sequence[float] | NDArray[np.float64], q: int) -> Statistic:
    """Return a percentile of times in order of arrival, with its 95 % interval by sectioning.

    Neighbours in a queue wait together, so times are no independent draws. The series is cut into a
    few sections in a row, long enough to be nearly independent, and the spread of their percentiles
    around that of all gives the standard error (S. Asmussen and P. Glynn, Stochastic Simulation,
    2007, III.5a; M. Nakayama, "Confidence intervals for quantiles using sectioning", 2014). It is
    taken on logarithms, as latencies have a long tail upwards.

    Args:
        times: In milliseconds, above 0; at least as many as there are sections.
        q: The percentile.
    """
    values = np.maximum(np.asarray(times, np.float64), _SHORTEST_MS)
    value = percentile(values.tolist(), q)
    parts = [percentile(part.tolist(), q) for part in np.array_split(values, _SECTIONS)]
    squares = np.square(np.log(parts) - np.log(value))
    error = float(np.sqrt(squares.sum() / (_SECTIONS - 1) / _SECTIONS))
    half = student_quantile(_SECTIONS - 1, (1 + CONFIDENCE) / 2) * error
    return Statistic(value, value * math.exp(-half), value * math.exp(half))
