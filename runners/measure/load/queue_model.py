"""The queue model: what latency requests would have, by the measured times of calls.

A discrete-event simulation of one queue, several instances and dynamic batching, by the rule of
``launched/load/served.py``. Times of calls are those that were measured with the same number of
instances at work: drawn one by one, or, where a load was served at another rate, as fast as its
calls were one after the other (:class:`Pace`). The model knows nothing else, and has no parameter
to fit. There is no formula for this: an M/G/c queue with batches has none, and its approximations
miss the p99.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from paretune.runners.measure.load.call_times import CallTimes, medians_s
from paretune.runners.runtimes.launch import percentile

_GRID = (0.98, 0.95, 0.9, 0.85, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.05, 0.02)
"""Shares of the highest rate that are tried, before the interval between two of them is halved. At
the highest rate itself no queue ever settles, and a simulation would end before that shows.
"""

_HALVINGS = 5
"""Times that such an interval is halved: a thirtieth of 5 % is below the resolution of times."""


@dataclass(frozen=True)
class Batching:
    """How requests wait for each other.

    Attributes:
        instances: Sessions side by side.
        max_batch: Most requests in one call.
        queue_delay_ms: Longest time for which a call waits for more requests.
    """

    instances: int = 1
    max_batch: int = 1
    queue_delay_ms: float = 0.0


def simulate(
    times_s: NDArray[np.float64], calls: CallTimes, batching: Batching, seed: int = 0
) -> NDArray[np.float64]:
    """Return the latency of each request in milliseconds, from when it was due.

    Args:
        times_s: When each request is due, in seconds, sorted.
        calls: The times of calls.
        batching: How requests are answered.
        seed: Of the random numbers. The same seed draws the same times for the same calls, so that
            two rates differ by the rate alone (common random numbers).
    """
    return Simulator(calls, batching, len(times_s), seed)(times_s)


class Simulator:
    """Simulations with the same random numbers.

    Args:
        calls: The times of calls.
        batching: How requests are answered.
        requests: Most requests of one simulation.
        seed: Of the random numbers.
    """

    def __init__(self, calls: CallTimes, batching: Batching, requests: int, seed: int = 0) -> None:
        random = np.random.default_rng(seed)
        self._batching = batching
        self._table = calls.table(batching.max_batch)
        self._draws: list[int] = random.integers(len(self._table[1]), size=requests).tolist()
        self._medians_s: list[float] = medians_s(self._table).tolist()
        paces = calls.paces
        ratios = np.concatenate([pace.ratio for pace in paces]) if paces else np.zeros(0)
        ratios = np.roll(ratios, -int(random.integers(max(len(ratios), 1))))
        self._ratios: list[float] = np.resize(ratios, requests).tolist() if paces else []
        late = np.concatenate([np.zeros(1), *(pace.late_ms for pace in paces)])
        late_s = random.choice(late[1:] if len(late) > 1 else late, requests) / 1e3
        self._late_s: list[float] = late_s.tolist()
        self._unit_s = np.cumsum(random.exponential(1.0, requests))

    def __call__(self, times_s: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the latency of each request (see :func:`simulate`)."""
        due: list[float] = times_s.tolist()
        count, most = len(due), self._batching.max_batch
        delay_s, table, draws = self._batching.queue_delay_ms / 1e3, self._table, self._draws
        ratios = self._ratios
        free = [0.0] * self._batching.instances
        ends: list[float] = []
        sizes: list[int] = []
        head = call = 0
        while head < count:
            last = head + most - 1
            ready = due[head] + delay_s
            if last < count and due[last] < ready:
                ready = due[last]
            now = free[0]
            if now < ready:  # it slept until then
                now = ready + self._late_s[call]
            size = 1
            while size < most and head + size < count and due[head + size] <= now:
                size += 1
            if ratios:
                end = now + ratios[call] * self._medians_s[size - 1]
            else:
                end = now + table[size][draws[call]]
            heapq.heapreplace(free, end)
            ends.append(end)
            sizes.append(size)
            head += size
            call += 1
        return (np.repeat(ends, sizes) - times_s) * 1e3

    def poisson(self, rate_per_s: float) -> NDArray[np.float64]:
        """Return the latency of each request at a rate: the same gaps, stretched."""
        return self(self._unit_s / rate_per_s)


def highest_rate(keeps: Callable[[float], bool], top: float) -> float:
    """Return the highest value that keeps a limit; 0 if not even a fiftieth of the top does.

    It looks from the top: below it, a limit may be broken as well, such as by requests that wait
    for others that do not come.

    Args:
        keeps: Whether a value keeps it.
        top: The highest value to try.
    """
    broken = top
    for share in _GRID:
        kept = share * top
        if keeps(kept):
            break
        broken = kept
    else:
        return 0.0
    for _ in range(_HALVINGS):
        middle = (kept + broken) / 2
        kept, broken = (middle, broken) if keeps(middle) else (kept, middle)
    return kept


def capacity_per_s(
    calls: CallTimes,
    batching: Batching,
    max_latency_ms: float,
    q: float,
    requests: int,
    seed: int = 0,
    *,
    loads: int = 1,
    above: float = 1.0,
) -> float:
    """Return the highest rate of Poisson arrivals at which a percentile of latency keeps a budget.

    Args:
        calls: The times of calls.
        batching: How requests are answered.
        max_latency_ms: The budget.
        q: The percentile, such as 99.
        requests: How many requests each rate is judged by.
        seed: Of the random numbers.
        loads: How many such loads are simulated at each rate; the median of their percentiles
            counts.
        above: Times the rate without pauses that is tried first: a short load may keep the budget
            above it, because its queue has no time to grow.

    Returns:
        Requests per second; 0 if no rate keeps it.
    """
    simulators = [Simulator(calls, batching, requests, seed + place) for place in range(loads)]

    def keeps(rate_per_s: float) -> bool:
        found = [percentile(each.poisson(rate_per_s), q) for each in simulators]  # type: ignore[arg-type]
        return float(np.median(found)) <= max_latency_ms

    top = calls.highest_rate_per_s(batching.instances, batching.max_batch)
    return highest_rate(keeps, above * top)
