"""What can still be afforded: nothing is begun that cannot be finished by the deadline."""

from __future__ import annotations

import time

from paretune.search.propose.cost import CostModel
from paretune.spaces import Candidate


class Affordable:
    """A rule of the hour: leaves out what is expected to take longer than there is time.

    Args:
        cost: Says what candidates are expected to take.

    Attributes:
        deadline: On :func:`time.monotonic`; everything can be afforded while it is ``None``.
    """

    def __init__(self, cost: CostModel) -> None:
        self.cost = cost
        self.deadline: float | None = None

    def __call__(self, candidate: Candidate) -> str | None:
        """Return why a candidate cannot be afforded, or ``None``."""
        if self.deadline is None:
            return None
        left_s = self.deadline - time.monotonic()
        expected_s = self.cost.seconds(candidate)
        if expected_s <= left_s:
            return None
        return f"it is expected to take {expected_s:.0f} s, and {max(left_s, 0):.0f} s are left"
