"""The time limit: nothing starts that cannot finish by the deadline."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from paretune.search.propose.cost import CostModel
from paretune.spaces import Candidate


class Affordable:
    """A rule that excludes candidates that are expected to take longer than the time left.

    Args:
        cost: Estimates the seconds of candidates.
        clock: Returns the time in seconds.

    Attributes:
        deadline: On that clock; ``None`` allows everything.
        trials: How many the budget still has, at least one.
    """

    def __init__(self, cost: CostModel, clock: Callable[[], float] = time.monotonic) -> None:
        self.cost = cost
        self.clock = clock
        self.deadline: float | None = None
        self.trials = 1

    def __call__(self, candidate: Candidate) -> str | None:
        """Return why there is no time for a candidate, or ``None``."""
        if self.deadline is None:
            return None
        left_s = self.deadline - self.clock()
        expected_s = self.cost.seconds(candidate)
        if expected_s <= left_s:
            return None
        return (
            f"it is expected to take {expected_s:.0f} s, but only {max(left_s, 0):.0f} s are left"
        )

    def seconds_per_trial(self) -> float:
        """Return the seconds left for each trial left; infinite without a deadline."""
        if self.deadline is None:
            return math.inf
        return max(self.deadline - self.clock(), 0.0) / self.trials
