"""What a study does at the moment, as lines: it prepares, searches, or confirms."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from rich.text import Text

from paretune.runners.execute.ongoing_stage import OngoingStage
from paretune.search.confirm.pace import ConfirmationProgress
from paretune.search.record.history import History
from paretune.search.review.terminal.best import Best, best_with_quality
from paretune.search.review.terminal.live_lines import Row, bar_line, row_lines
from paretune.search.review.terminal.trial_line import clock, short_label
from paretune.search.run.budget import Budget
from paretune.search.run.time_left import TimeLeft
from paretune.search.run.work import Work
from paretune.spaces import SearchSpace

Clock = Callable[[], float]


class Phase(Protocol):
    """A part of a study's run. Its attributes change in one thread, and lines are asked in another.

    So what lines depend on is never changed in place.
    """

    def lines(self, width: int) -> list[Text]:
        """Return what the study does now, in lines of so many columns."""


class Preparing:
    """Something that takes a while, before or after the trials.

    Args:
        what: What it is, in words.
        clock: Returns the time in seconds.
    """

    def __init__(self, what: str, clock: Clock = time.monotonic) -> None:
        self._what, self._clock, self._since = what, clock, clock()

    def lines(self, width: int) -> list[Text]:
        """Return one line."""
        return [Text(f"{self._what}  {clock(self._clock() - self._since)}", "dim")]


class Searching:
    """The search: what builders and devices do, how far it is, and the best so far.

    Args:
        space: Its space.
        history: Its trials.
        budget: When it ends.
        stages: Returns the stages of builds that are under way.
        clock: Returns the time in seconds.
    """

    def __init__(
        self,
        space: SearchSpace,
        history: History,
        budget: Budget,
        stages: Callable[[], Sequence[OngoingStage]],
        clock: Clock = time.monotonic,
    ) -> None:
        self._space, self._budget = space, budget
        self._stages, self._clock = stages, clock
        self._began = self._told_at = clock()
        self._work: Sequence[Work] = ()
        self._left = TimeLeft()
        self._since: Mapping[tuple[int, str], float] = {}
        self._best = Best()
        self._done = self._failed = 0
        self._best_words = ""
        self.count(history)

    def working(self, work: Sequence[Work], left: TimeLeft) -> None:
        """Note what is being done, and the time left from now on."""
        self._work, self._left, self._told_at = work, left, self._clock()

    def count(self, history: History) -> None:
        """Note which trials have ended."""
        self._done, self._failed = len(history.records), len(history.failed)
        best = self._best.update(history)
        self._best_words = best_with_quality(best, history)

    def lines(self, width: int) -> list[Text]:
        """Return a row per builder and device, the bar, and the best so far."""
        found = [Text(""), *row_lines(self._rows(), width)]
        found.append(bar_line(self._share(), self._words(), width))
        if self._best_words:
            found.append(Text(self._best_words, "green"))
        return found

    def _rows(self) -> list[Row]:
        now = self._clock()
        stages = {stage.occasion: stage for stage in self._stages()}
        told = []
        for work in sorted(self._work, key=lambda work: work.is_build):
            stage = stages.get(work.job.occasion) if work.is_build else None
            told.append((work, work.words if stage is None else stage.stage or "starting", stage))
        keys = [(work.number, what) for work, what, _ in told]
        self._since = since = {key: self._since.get(key, now) for key in keys}
        return [
            Row(
                work.place,
                f"trial {work.number}",
                what + ("" if stage is None else _how_far(stage)),
                short_label(work.candidate, self._space),
                now - since[work.number, what],
            )
            for work, what, stage in told
        ]

    def _seconds_left(self) -> float | None:
        total = self._left.total_s
        return None if total is None else max(total - (self._clock() - self._told_at), 0.0)

    def _share(self) -> float:
        left, spent = self._seconds_left(), self._clock() - self._began
        if self._budget.hours and left is not None:
            return spent / max(spent + left, 1.0)
        return self._done / self._budget.trials

    def _words(self) -> list[str]:
        words = [f"{self._done} of {self._budget.trials} trials"]
        if (left := self._seconds_left()) is not None:
            words.append(f"about {clock(left)} left")
        if self._failed:
            words.insert(1, f"{self._failed} failed")
        if left is not None and self._left.confirmation_s:
            words.append(f"{clock(self._left.confirmation_s)} of it for the confirmation")
        return words


def _how_far(stage: OngoingStage) -> str:
    """Return how far a stage is, if it trains, and whether it stands still."""
    text, epoch = "", stage.epoch
    if epoch is not None:
        text = f" {epoch.number}/{epoch.count}, loss {epoch.loss:.3g}"
    return text + (", paused" if stage.is_suspended else "")


class Confirming:
    """The confirmation: what is measured, and how far it is.

    Args:
        clock: Returns the time in seconds.
    """

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._began = clock()
        self._now: tuple[ConfirmationProgress, str, float] | None = None

    def measuring(self, progress: ConfirmationProgress, label: str) -> None:
        """Note what is measured next, with its label."""
        self._now = progress, label, self._clock()

    def lines(self, width: int) -> list[Text]:
        """Return what is measured, and the bar."""
        if self._now is None:
            return []
        (progress, label, since), now = self._now, self._clock()
        left = max(progress.seconds_left - (now - since), 0.0)
        place, what = f"round {progress.round}", "measuring"
        unsettled = f"{progress.unsettled} of {progress.points} points to settle"
        if progress.round == 0:
            place, what = "quality", "on the test split"
            unsettled = f"{progress.unsettled} of {progress.points} points to go"
        spent = now - self._began
        words = [f"about {clock(left)} left", unsettled]
        row = Row(place, f"trial {progress.number}", what, label, now - since)
        return [
            *row_lines([row], width),
            bar_line(spent / max(spent + left, 1.0), words, width),
        ]
