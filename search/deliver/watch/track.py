"""A track: from observations of one kind to calm, spike, changed and recovered."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from paretune.search.deliver.watch.e_detector import EDetector, Onset

SPIKE_EVIDENCE = 50.0
"""Evidence at which an excess is told as a spike once it is over: two excesses in a row have 51.
No alarm depends on it. Chosen by judgement.
"""

RECOVERED_EVIDENCE = 1000.0
"""Evidence, against a change that goes on, at which it counts as over: four observations in a row
without an excess. Chosen by judgement.
"""


class Turn(StrEnum):
    """What an observation changed."""

    CHANGED = "changed"
    SPIKE = "spike"
    RECOVERED = "recovered"


class Track:
    """Follows observations of one kind, each with one or several yes/no tests of an excess.

    A change is told when the mean evidence of the tests (an e-detector again) has reached
    ``threshold`` and the excess has lasted ``shortest_s``: waiting makes no more false alarms. An
    excess that ends before is a spike. After a change, the same test with excess and calm exchanged
    tells that it is over.

    Args:
        threshold: Observations between two false alarms, on average, at the least.
        shortest_s: Seconds that an excess must last.
        tests: Number of tests per observation.

    Attributes:
        is_changed: Whether a change was told that is not over.
        since_s: When the excess or the change began; ``None`` if there is none.
        length: Observations since then.
    """

    def __init__(self, threshold: float, shortest_s: float, tests: int = 1) -> None:
        self._threshold, self._shortest_s = threshold, shortest_s
        self._detectors = [EDetector() for _ in range(tests)]
        self._calm, self._onset = EDetector(), Onset()
        self._peak = 0.0
        self._over_s: float | None = None
        self.is_changed = False
        self.since_s: float | None = None
        self.length = 0

    @property
    def evidence(self) -> float:
        """The evidence now, as a share of what an alarm takes."""
        return sum(each.evidence for each in self._detectors) / (
            len(self._detectors) * self._threshold
        )

    def see(self, excesses: Sequence[bool], start_s: float, end_s: float) -> Turn | None:
        """Take an observation.

        Args:
            excesses: The result of each test.
            start_s: When the observation began, in seconds.
            end_s: When it ended.

        Returns:
            What it changed, or ``None``. After :attr:`Turn.SPIKE` and :attr:`Turn.RECOVERED`,
            ``since_s`` and ``length`` still tell of what is over, until the next observation.
        """
        is_excess = any(excesses)
        if self.is_changed:
            return self._see_changed(is_excess, start_s)
        for detector, each in zip(self._detectors, excesses, strict=True):
            detector.see(each)
        length = self._onset.see(is_excess)
        if not length:
            was_spike = self._peak * self._threshold >= SPIKE_EVIDENCE and self.since_s is not None
            self._peak = 0.0
            if was_spike:
                return Turn.SPIKE
            self.since_s, self.length = None, 0
            return None
        if length == 1:
            self.since_s = start_s
        self.length = length
        self._peak = max(self._peak, self.evidence)
        lasted = end_s - (start_s if self.since_s is None else self.since_s)
        if is_excess and self.evidence >= 1.0 and lasted >= self._shortest_s:
            self.is_changed = True
            self._calm.reset()
            return Turn.CHANGED
        return None

    def _see_changed(self, is_excess: bool, start_s: float) -> Turn | None:
        self.length += 1
        if is_excess:
            self._over_s = None
        elif self._over_s is None:
            self._over_s = start_s
        if self._calm.see(not is_excess) < RECOVERED_EVIDENCE:
            return None
        since, length = self.since_s, self.length
        self.reset()
        self.since_s, self.length = since, length
        return Turn.RECOVERED

    def reset(self) -> None:
        """Forget all observations."""
        for detector in self._detectors:
            detector.reset()
        self._calm.reset()
        self._onset = Onset()
        self._peak, self._over_s = 0.0, None
        self.is_changed, self.since_s, self.length = False, None, 0
