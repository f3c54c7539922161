"""Progress as lines: for a pipe, a file, or a terminal that cannot move its cursor."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from rich.console import Console
from rich.markup import escape

from paretune.runners.execute.ongoing_stage import OngoingStage, OngoingTraining
from paretune.search.confirm.pace import ConfirmationProgress
from paretune.search.record.history import History
from paretune.search.record.trial import TrialRecord
from paretune.search.record.words import goals_text
from paretune.search.review.console import console as usual_console
from paretune.search.review.shortfall import shortfalls
from paretune.search.review.terminal.best import Best, best_text
from paretune.search.review.terminal.trial_line import clock, plain_line
from paretune.search.run.budget import Budget
from paretune.search.run.reporter import Reporter
from paretune.search.run.time_left import TimeLeft
from paretune.search.run.work import Work
from paretune.spaces import SearchSpace

_TRAINING_EVERY_S = 30.0
"""Seconds between two lines about trainings. Chosen by judgement."""


class PlainReporter(Reporter):
    """Prints one line per trial, and now and then one about trainings.

    Args:
        out: The console to print on; standard output by default.
    """

    def __init__(self, out: Console | None = None) -> None:
        self.console = out or usual_console
        self._told_at = time.monotonic()
        self._best = Best()
        self._budget = Budget(1)
        self._left = TimeLeft()
        self._round = -1

    def preparing(self, what: str) -> None:
        """Print what takes a while."""
        self.console.print(f"[dim]{escape(what)} …[/]", soft_wrap=True)

    def started(
        self,
        name: str,
        space: SearchSpace,
        history: History,
        budget: Budget,
        stages: Callable[[], Sequence[OngoingStage]] = tuple,
    ) -> None:
        """Print the space, the objectives and the budget."""
        self._budget = budget
        for line in beginning(name, space, history, budget):
            self.console.print(line, soft_wrap=True)

    def noted(self, text: str) -> None:
        """Print what a person should know."""
        self.console.print(f"[yellow]note:[/] {escape(text)}", soft_wrap=True)

    def working(self, work: Sequence[Work], left: TimeLeft) -> None:
        """Note the time left."""
        self._left = left

    def training(self, trainings: Sequence[OngoingTraining]) -> None:
        """Print how far trainings are, now and then."""
        if time.monotonic() - self._told_at > _TRAINING_EVERY_S:
            self._told_at = time.monotonic()
            text = "; ".join(each.words for each in trainings)
            self.console.print(f"    [dim]{escape(text)}[/]", soft_wrap=True)

    def trial_finished(self, record: TrialRecord, history: History) -> None:
        """Print the trial's line."""
        progress = f"{len(history.records)}/{self._budget.trials}"
        if (left := self._left.total_s) is not None:
            progress += f" · {clock(left)} left"
        line = plain_line(record, history, progress)
        best = self._best.update(history)
        if record.measurement:
            line += f"  [dim]{escape(best_text(best, history))}[/]"
        self.console.print(line, soft_wrap=True)
        for text in shortfalls(record, history):
            self.console.print(f"    [yellow]{escape(text)}[/]", soft_wrap=True)

    def gave_up(self, reason: str) -> None:
        """Print what is excluded from now on."""
        self.console.print(f"[yellow]no longer tried:[/] {escape(reason)}", soft_wrap=True)

    def confirming(self, progress: ConfirmationProgress) -> None:
        """Print the beginning of the confirmation, of each of its rounds, and further points."""
        if progress.round == self._round:
            return
        before, self._round = self._round, progress.round
        if progress.round == 0 and before < 0:
            self.console.print(f"\n{confirmation_beginning(progress)}")
        elif progress.round == 0:
            self.console.print(f"  there is time for more points: {progress.points} in all")
        else:
            self.console.print(f"  round {progress.round}: {_round_text(progress)}")


def beginning(name: str, space: SearchSpace, history: History, budget: Budget) -> list[str]:
    """Return what a search looks for, and its budget, as lines of markup."""
    wish = f"; wish: {history.wish.text}" if history.wish.text else ""
    limit = f" or {budget.hours:g} h" if budget.hours else ""
    return [
        f"[bold]{escape(name)}[/]: {space.size:,} combinations, looking for "
        f"{goals_text(history)}{wish}",
        f"{len(history.records)} trials done, budget {budget.trials} trials{limit}",
    ]


def confirmation_beginning(progress: ConfirmationProgress) -> str:
    """Return what is measured again, in words."""
    of_all = f" of {progress.points + progress.waiting}" * bool(progress.waiting)
    which = "point" if progress.points == 1 and not of_all else "points"
    return (
        f"confirming {progress.points}{of_all} plausible {which}: fresh processes, the test split, "
        f"about {clock(progress.seconds_left)}"
    )


def _round_text(progress: ConfirmationProgress) -> str:
    """Return which points are launched again, and how long all rounds may take."""
    if progress.unsettled:
        why = f"{progress.unsettled} of {progress.points} intervals are wider than asked for"
    else:
        why = "all intervals are as narrow as asked for; the frontier must stay the same"
    return f"{why} · about {clock(progress.seconds_left)} left"
