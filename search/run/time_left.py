"""The time that a search still takes, in which trials of several workers overlap."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

_RECENT = 10
"""Trials whose durations count: enough for a median, and few enough to follow a search that turns
to other candidates. Chosen by judgement.
"""

_LARGEST_EXPECTED = 5.0
"""Times the longest trial so far that a trial is expected to take at most. Chosen by judgement:
what is expected of the first training of a kind may be far off, until it says itself how far it is.
"""

_LATE_SHARE = 0.5
"""Share of its delay that a late trial is expected to go on. Chosen by judgement."""


@dataclass(frozen=True)
class TimeLeft:
    """How long a search will take, and the confirmation after it.

    Attributes:
        search_s: Seconds until its last trial ends; ``None`` if that is not known yet.
        confirmation_s: Seconds of the confirmation after that; 0 without one.
    """

    search_s: float | None = None
    confirmation_s: float = 0.0

    @property
    def total_s(self) -> float | None:
        """Seconds until everything has ended; ``None`` if that is not known yet."""
        return None if self.search_s is None else self.search_s + self.confirmation_s


@dataclass(frozen=True)
class Running:
    """A trial that is under way.

    Attributes:
        elapsed_s: Seconds since it began.
        expected_s: Seconds that it is expected to take in all; ``None`` if unknown.
        training_s: Seconds that its training says it still takes; ``None`` if it says nothing.
    """

    elapsed_s: float
    expected_s: float | None = None
    training_s: float | None = None


class Pace:
    """How often trials end, and how long they take.

    Args:
        began: When the search began, on its clock.
        durations: Seconds of trials of earlier searches, in order of time.
    """

    def __init__(self, began: float, durations: Iterable[float] = ()) -> None:
        known = list(durations)
        self._ends = [began]
        self._recent = deque(known, maxlen=_RECENT)
        self._longest_s = max(known, default=0.0)

    def ended(self, at: float, seconds: float) -> None:
        """Learn from a trial that has ended."""
        self._ends.append(at)
        self._recent.append(seconds)
        self._longest_s = max(self._longest_s, seconds)

    def seconds_left(self, running: Sequence[Running], to_begin: int, at_once: int) -> float | None:
        """Return the seconds until the last trial has ended; ``None`` before any has.

        Trials go on ending as often as the last ten did, or the last ones of each worker: equal
        trials of several workers end at almost the same time. Before each worker has ended one, it
        is as often as trials of their median duration would. At the end, the trial that takes
        longest decides.

        Args:
            running: The trials under way.
            to_begin: How many are to begin.
            at_once: How many are under way at once, as long as there are enough.
        """
        if not self._recent:
            return None
        usual_s = median(self._recent)
        at_once = max(at_once, 1)
        rounds = min(math.ceil(_RECENT / at_once), (len(self._ends) - 1) // at_once)
        if count := rounds * at_once:
            each_s = (self._ends[-1] - self._ends[-1 - count]) / count
        else:
            each_s = usual_s / at_once
        rests = [self._rest(trial, usual_s) for trial in running]
        if to_begin:
            rests.append(usual_s)
        return max((len(running) + to_begin) * each_s, max(rests, default=0.0))

    def _rest(self, trial: Running, usual_s: float) -> float:
        """Return the seconds that a trial under way is expected to go on.

        One that is late is expected to be half as late again.
        """
        if trial.training_s is not None:
            return trial.training_s
        expected_s = usual_s if trial.expected_s is None else trial.expected_s
        expected_s = min(expected_s, _LARGEST_EXPECTED * self._longest_s)
        rest_s = expected_s - trial.elapsed_s
        return rest_s if rest_s >= 0 else -_LATE_SHARE * rest_s
