"""Times of calls by the number of requests in them, measured while all instances work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from paretune.runners.runtimes.launch import percentile

_QUANTILES = 5000
"""Quantiles by which the times of a size are drawn: a stall of the machine in one call of 5,000 can
decide the p99 of requests, because all that arrive meanwhile wait. Chosen by judgement.
"""


@dataclass(frozen=True)
class Pace:
    """How fast calls were, one after the other, while a load was served.

    Slow calls come in groups: whatever takes a core for 50 ms slows all calls of that time. Times
    that are drawn one by one would miss the queue that grows meanwhile.

    Attributes:
        ratio: In the order in which they began, the time of each call ÷ the median of calls with as
            many requests in the closed loop.
        late_ms: How late instances woke that had slept until a request was due.
    """

    ratio: NDArray[np.float64]
    late_ms: NDArray[np.float64]


@dataclass(frozen=True)
class CallTimes:
    """Times of calls, by the number of requests in them and by launch.

    Attributes:
        by_size: For each number of requests that was measured, the milliseconds of each call, an
            array for each launch.
        is_filled: Whether each call is filled up to the largest number of requests.
        paces: How fast calls were while a load was served, by launch; empty if none was.
    """

    by_size: Mapping[int, Sequence[NDArray[np.float64]]]
    is_filled: bool = False
    paces: Sequence[Pace] = ()

    @property
    def sizes(self) -> list[int]:
        """The measured sizes, sorted."""
        return sorted(self.by_size)

    @property
    def launches(self) -> int:
        """Launches that every size has."""
        return min(map(len, self.by_size.values()))

    def of_launch(self, place: int) -> CallTimes:
        """Return the times of one launch of each size, with the pace of one load."""
        by_size = {size: [all_[place]] for size, all_ in self.by_size.items()}
        return replace(self, by_size=by_size, paces=self.paces[place : place + 1])

    def up_to(self, size: int) -> CallTimes:
        """Return the times for calls with at most so many requests."""
        kept = {each: times for each, times in self.by_size.items() if each <= size}
        return replace(self, by_size=kept)

    def percentile_ms(self, size: int, q: float) -> float:
        """Return a percentile of the calls of a measured size: the mean over launches."""
        found = [percentile(times, q) for times in self.by_size[size]]  # type: ignore[arg-type]
        return float(np.mean(found))

    def mean_ms(self, size: int) -> float:
        """Return the mean time of a call of a measured size."""
        return float(np.mean([np.mean(times) for times in self.by_size[size]]))

    def highest_rate_per_s(self, instances: int, max_batch: int) -> float:
        """Return the rate at which the instances have no pause: no queue keeps up with more.

        If calls under load were faster than those in the closed loop, their times count.
        """
        ratios = np.concatenate([np.zeros(0), *(pace.ratio for pace in self.paces)])
        pace = float(np.mean(ratios)) if len(ratios) else float("inf")
        sizes = [max_batch] if self.is_filled else [s for s in self.sizes if s <= max_batch]
        call_ms = {s: min(self.mean_ms(s), pace * self.percentile_ms(s, 50)) for s in sizes}
        return max(instances * size / ms * 1e3 for size, ms in call_ms.items())

    def table(self, max_batch: int) -> list[list[float]]:
        """Return quantiles of the time of a call in seconds, by the number of requests.

        Between two measured sizes the quantiles are interpolated. A size below the smallest has its
        times, as in a model with a fixed batch.

        Returns:
            ``max_batch + 1`` lists of as many quantiles each; the first is empty.
        """
        at = (np.arange(_QUANTILES) + 0.5) / _QUANTILES
        known = [s for s in self.sizes if s <= max_batch]
        rows = np.array([np.quantile(np.concatenate(self.by_size[size]), at) for size in known])
        found: list[list[float]] = [[]]
        for size in range(1, max_batch + 1):
            wanted = max_batch if self.is_filled else size
            high = min(int(np.searchsorted(known, wanted)), len(known) - 1)
            low = max(0, high - (known[high] > wanted))
            gap = known[high] - known[low]
            share = (wanted - known[low]) / gap if gap else 0.0
            row = (1 - share) * rows[low] + share * rows[high]
            found.append([float(each) / 1e3 for each in row])
        return found


def medians_s(table: Sequence[Sequence[float]]) -> NDArray[np.float64]:
    """Return the median seconds of a call with one request, two, … by :meth:`CallTimes.table`."""
    return np.array([row[len(row) // 2] for row in table[1:]])
