"""How far a confirmation is, and how long it will take."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from paretune.search.record.trial import TrialRecord
from paretune.spaces import Candidate

Kind = Literal["quality", "launch"]
"""The kinds of measurements of a confirmation."""


@dataclass(frozen=True)
class ConfirmationProgress:
    """How far a confirmation is, when its next measurement begins.

    Attributes:
        round: The round of launches, from 1; 0 while qualities are evaluated, before the first.
        unsettled: How many points need more launches, or their quality.
        points: All points that are measured.
        waiting: Further plausible points, for which there is no time yet.
        number: The trial that is measured next.
        candidate: Its candidate.
        done: Measurements so far.
        seconds_left: How long the rest is expected to take.
    """

    round: int
    unsettled: int
    points: int
    waiting: int
    number: int
    candidate: Candidate
    done: int
    seconds_left: float


class ConfirmationPace:
    """Times the measurements of a confirmation, and tells before each how long the rest will take.

    Args:
        tell: Told.
        launch_s: Seconds that a measurement is expected to take, before any has ended.
        deadline: When the confirmation ends at the latest, on the clock.
        clock: Returns the time in seconds.
    """

    def __init__(
        self,
        tell: Callable[[ConfirmationProgress], None],
        launch_s: float,
        deadline: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._report = tell
        self._points = self._unsettled = self._waiting = 0
        self._expected_s = launch_s
        self._deadline = deadline
        self._clock = clock
        self._round = 0
        self._left: dict[Kind, int] = {"quality": 0, "launch": 0}
        self._times: dict[Kind, int] = {"quality": 0, "launch": 0}
        self._spent: dict[Kind, float] = {"quality": 0.0, "launch": 0.0}

    def expect(self, points: int, rounds: int, waiting: int) -> None:
        """Note that further points are measured.

        Args:
            points: Their number.
            rounds: Of launches, for each.
            waiting: Points for which there is no time yet.
        """
        self._round, self._unsettled, self._waiting = 0, points, waiting
        self._points += points
        self._left = {"quality": points, "launch": points * rounds}

    def begin_round(self, number: int, unsettled: int, running: int, more_rounds: int) -> None:
        """Note that a round of launches begins.

        Args:
            number: Its number, from 1.
            unsettled: Points that need more launches.
            running: Points that are launched in it.
            more_rounds: Rounds that are expected after it.
        """
        self._round, self._unsettled = number, unsettled
        self._left = {"quality": 0, "launch": running * (1 + more_rounds)}

    @contextmanager
    def timing(self, kind: Kind, record: TrialRecord) -> Iterator[None]:
        """Tell that a trial is measured next, and time the measurement."""
        self._report(
            ConfirmationProgress(
                self._round,
                self._unsettled,
                self._points,
                self._waiting,
                record.number,
                record.candidate,
                sum(self._times.values()),
                self.seconds_left,
            )
        )
        began = self._clock()
        yield
        self._times[kind] += 1
        self._spent[kind] += self._clock() - began
        self._left[kind] = max(self._left[kind] - 1, 0)
        if kind == "quality":
            self._unsettled = self._left[kind]

    @property
    def seconds_left(self) -> float:
        """Seconds for the rest, or until the deadline if that is sooner."""
        left = sum(count * self.seconds(kind) for kind, count in self._left.items())
        if self._deadline is not None:
            left = min(left, max(self._deadline - self._clock(), 0.0))
        return left

    def seconds(self, kind: Kind) -> float:
        """Return the mean seconds per measurement; those expected before any has ended."""
        times = self._times[kind]
        return self._spent[kind] / times if times else self._expected_s


def rounds_after(number: int, stable: int, launches: int, most: int, stable_rounds: int) -> int:
    """Return how many rounds are expected after one, if the frontier stays as it is.

    Args:
        number: The round, from 1.
        stable: Rounds in a row before it in which the frontier stayed the same.
        launches: The first round after which the frontier is looked at.
        most: Most launches of a point.
        stable_rounds: Rounds in a row in which it must stay the same.
    """
    looks = stable_rounds - stable + (launches - number if number <= launches else -1)
    return max(min(looks, most - number), 0)
