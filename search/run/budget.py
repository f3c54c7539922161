"""The budget: when a search ends."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Budget:
    """When a search ends.

    Attributes:
        trials: Trials in the whole study, the baseline and failures included.
        hours: Wall-clock hours of this search, or ``None``.
    """

    trials: int
    hours: float | None = None
