"""What can still be afforded: nothing is begun that cannot be finished by the deadline."""

from __future__ import annotations

import time
from collections.abc import Callable

from paretune.search.propose.cost import CostModel
from paretune.spaces import Candidate


class Affordable:
    """A rule of the hour: leaves out what is expected to take longer than there is time.

    Args:
        cost: Says what candidates are expected to take.
        clock: Says what time it is, in seconds.

    Attributes:
        deadline: On that clock; everything can be afforded while it is ``None``.
    """

    def __init__(self, cost: CostModel, clock: Callable[[], float] = time.monotonic) -> None:
        self.cost = cost
        self.clock = clock
        self.deadline: float | None = None

    def __call__(self, candidate: Candidate) -> str | None:
        """Return why a candidate cannot be afforded, or ``None``."""
        if self.deadline is None:
            return None
        left_s = self.deadline - self.clock()
        expected_s = self.cost.seconds(candidate)
        if expected_s <= left_s:
            return None
        return f"it is expected to take {expected_s:.0f} s, and {max(left_s, 0):.0f} s are left"
