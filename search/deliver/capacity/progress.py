"""Progress: lines about what is done now, with how long it may still take."""

from __future__ import annotations

import time
from collections.abc import Callable


class Progress:
    """Counts the steps of a part of the work, and estimates the rest from those that are done.

    Args:
        told: Given a line before each step.
    """

    def __init__(self, told: Callable[[str], None]) -> None:
        self._told = told
        self._steps = self._done = self._skipped = 0
        self._began = time.monotonic()

    def begin(self, steps: int) -> None:
        """Begin a part with so many steps."""
        self._steps, self._done, self._skipped = steps, 0, 0
        self._began = time.monotonic()

    def skip(self, steps: int) -> None:
        """Leave out steps, which take no time."""
        self._skipped += steps

    def step(self, words: str) -> None:
        """Tell what is done now."""
        # What was not planned, such as a launch in place of a disturbed one, comes at the end.
        self._steps = max(self._steps, self._done + self._skipped + 1)
        left = self._steps - self._skipped - self._done
        eta = ""
        if self._done and left > 0:
            seconds = (time.monotonic() - self._began) / self._done * left
            eta = f" (about {seconds:.0f} s left)"
        self._done += 1
        self._told(f"[{self._done + self._skipped}/{self._steps}] {words}{eta}")
