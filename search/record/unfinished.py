"""Unfinished trials: those in flight when their process ended."""

from __future__ import annotations

from dataclasses import dataclass

from paretune.spaces import Candidate


@dataclass(frozen=True)
class Unfinished:
    """A trial that was in flight when its process ended.

    Attributes:
        number: Its number.
        candidate: Its candidate.
        deaths: Number of processes that died while it was under way.
    """

    number: int
    candidate: Candidate
    deaths: int = 0
