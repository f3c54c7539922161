"""The e-detector: a sequential test of yes/no observations with a stated rate of false alarms."""

from __future__ import annotations

import math

BASE_RATE = 0.1
"""Largest probability of an excess, whatever came before, while nothing has changed. Thresholds are
set so that it holds (:mod:`.latency_reference`, :mod:`.drift`).
"""

CHANGED_RATES = (0.3, 0.6, 0.95)
"""Probabilities of an excess after a change that the detector bets on, in equal parts: some of the
blocks, most of them, nearly all. Chosen by judgement.
"""


class EDetector:
    """Tells when an excess has become more frequent than :data:`BASE_RATE`.

    Each bet is a likelihood ratio ``L`` of Bernoulli observations, whose mean is at most 1 while
    the probability of an excess, given the past, is at most :data:`BASE_RATE`; nothing else is
    assumed. The Shiryaev-Roberts sum ``R = (R + 1) L`` then grows by at most 1 per observation on
    average, so an alarm at ``R >= A`` comes after at least ``A`` observations on average (J. Shin,
    A. Ramdas, A. Rinaldo, "E-detectors: a nonparametric framework for sequential change detection",
    2024: the average run length). A mean of such sums keeps this.

    Attributes:
        evidence: The sum now, averaged over the bets; 0 at the start.
    """

    def __init__(self) -> None:
        self._sums = [0.0] * len(CHANGED_RATES)

    @property
    def evidence(self) -> float:
        """The sum now, averaged over the bets."""
        return sum(self._sums) / len(self._sums)

    def see(self, is_excess: bool) -> float:
        """Take an observation and return the evidence."""
        for place, rate in enumerate(CHANGED_RATES):
            ratio = rate / BASE_RATE if is_excess else (1 - rate) / (1 - BASE_RATE)
            self._sums[place] = min((self._sums[place] + 1.0) * ratio, 1e300)
        return self.evidence

    def reset(self) -> None:
        """Forget all observations."""
        self._sums = [0.0] * len(CHANGED_RATES)


class Onset:
    """Where a change began, if there is one: the last minimum of the log-likelihood.

    This is the maximum-likelihood estimate that Page's CUSUM gives for free (E. S. Page,
    "Continuous inspection schemes", Biometrika 41, 1954).

    Attributes:
        length: Observations since then; 0 if nothing speaks for a change.
    """

    def __init__(self) -> None:
        self._sum, self.length = 0.0, 0

    def see(self, is_excess: bool) -> int:
        """Take an observation and return the length."""
        rate = CHANGED_RATES[-1]
        ratio = rate / BASE_RATE if is_excess else (1 - rate) / (1 - BASE_RATE)
        self._sum = max(0.0, self._sum + math.log(ratio))
        self.length = self.length + 1 if self._sum else 0
        return self.length
