"""What is asked about a model's capacity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from paretune.runners.measure.load.arrivals import Arrivals
from paretune.spaces import StudyError

SIZES = (1, 2, 4, 8, 16)
"""Numbers of requests in a call that are tried by default. Chosen by judgement: a size whose call
breaks the budget ends it earlier.
"""

_BUDGETS = 40
"""Budgets that a load lasts at least: above the capacity, a queue needs some budgets' time to grow
until it breaks the budget. In loads as short as 20 budgets, rates up to 5 % above it may keep it.
"""


@dataclass(frozen=True)
class CapacityQuestion:
    """What is asked about a model's capacity.

    Attributes:
        max_latency_ms: The latency budget of a request, from when it was due.
        percentile: The percentile of latency that keeps it.
        cores: Cores of a replica; instances × threads use at most so many.
        sizes: Numbers of requests in a call to try.
        instances: Numbers of instances to try; all that fit by default.
        threads: Numbers of threads to try; all that fit by default.
        rate_per_s: The usual rate of the whole service, if it is known.
        price_per_hour: What one replica costs, if it is known.
        spike: How many times the usual rate a burst has, if that is asked.
        arrivals: A recorded trace of the whole service's requests to serve as well, if any.
        checks: Whether to serve load for real.
        launches: Fresh processes of each figure that is published.
        seconds: Seconds of each load that is served; by default as many as 1,500 requests take, and
            40 times the budget, at least 2 and at most 15.
        seed: Of the arrivals and of the simulations.
    """

    max_latency_ms: float
    percentile: int = 99
    cores: int = 1
    sizes: Sequence[int] = SIZES
    instances: Sequence[int] = ()
    threads: Sequence[int] = ()
    rate_per_s: float | None = None
    price_per_hour: float | None = None
    spike: float | None = None
    arrivals: Arrivals | None = None
    checks: bool = True
    launches: int = 5
    seconds: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.max_latency_ms <= 0:
            raise StudyError(
                f"the latency budget must be above 0 ms; got {self.max_latency_ms:g}: give "
                "--max-p99-ms, such as 20"
            )
        if not 0 < self.percentile < 100:
            raise StudyError(
                f"the percentile must be between 1 and 99; got {self.percentile}: give p50 to p99"
            )
        if self.launches < 2:
            raise StudyError(
                f"an interval needs at least 2 launches; got {self.launches}: give --launches 5"
            )
        if self.spike is not None and self.spike < 1:
            raise StudyError(
                f"a spike is at least 1 times the usual rate; got {self.spike:g}: give --spike 3"
            )

    @property
    def ways(self) -> list[tuple[int, int]]:
        """Instances and threads to try, each pair on at most :attr:`cores` cores.

        Raises:
            StudyError: If none of the wanted ones fits.
        """
        found = [
            (instances, threads)
            for threads in self.threads or _counts(self.cores)
            for instances in self.instances or _counts(self.cores // threads)
            if instances * threads <= self.cores
        ]
        if not found:
            raise StudyError(
                f"instances × threads must be at most {self.cores}, the cores of this machine; got "
                f"instances {[*self.instances]} and threads {[*self.threads]}"
            )
        return sorted(set(found))

    def seconds_at(self, rate_per_s: float) -> float:
        """Return the seconds of a load at a rate."""
        enough = max(2.0, 1500.0 / rate_per_s, _BUDGETS * self.max_latency_ms / 1e3)
        return self.seconds or min(15.0, enough)


def _counts(most: int) -> list[int]:
    """Return the powers of two up to a number, and the number itself."""
    powers = [2**place for place in range(most.bit_length()) if 2**place <= most]
    return sorted({*powers, most} - {0})
