"""Latencies as services have them, with heavy tails in clusters: for tests of `paretune watch`."""

import numpy as np
from numpy.typing import NDArray

from paretune.search.deliver.watch.observation import Request
from paretune.search.deliver.watch.watcher import Watcher

PACE_S = 0.1
"""Seconds from one request to the next."""


def latencies(rng: np.random.Generator, count: int, usual_ms: float = 5.0) -> NDArray[np.float64]:
    """Return latencies whose level wanders by about 3 %, with noise and slow requests."""
    level = np.zeros(count)
    steps = rng.normal(0.0, 0.005, count)
    for place in range(1, count):
        level[place] = 0.98 * level[place - 1] + steps[place]
    times = usual_ms * np.exp(level + rng.normal(0.0, 0.03, count))
    # One in 30 is slow, and the next ones are likely to be slow as well.
    slow = rng.random(count) < 0.015
    for place in range(1, count):
        slow[place] |= slow[place - 1] and rng.random() < 0.5
    times[slow] *= 1.3 + rng.pareto(2.0, int(slow.sum()))
    return times


def see(watcher: Watcher, times: NDArray[np.float64], start_s: float = 0.0):  # type: ignore[no-untyped-def]
    """Feed latencies to a watcher; yield each event with the number of requests before it."""
    for place, time in enumerate(times):
        for event in watcher.see(Request(start_s + place * PACE_S, float(time))):
            yield place, event
