"""Progress on a terminal: a line per finished trial, and a live view below."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich.console import Console
from rich.markup import escape

from paretune.runners.execute.ongoing_stage import OngoingStage
from paretune.search.confirm.pace import ConfirmationProgress
from paretune.search.record.history import History
from paretune.search.record.trial import TrialRecord
from paretune.search.review.console import console as usual_console
from paretune.search.review.terminal.live_view import LiveView
from paretune.search.review.terminal.phases import Confirming, Phase, Preparing, Searching
from paretune.search.review.terminal.plain_reporter import beginning, confirmation_beginning
from paretune.search.review.terminal.trial_line import short_label, short_line
from paretune.search.run.budget import Budget
from paretune.search.run.reporter import Reporter
from paretune.search.run.time_left import TimeLeft
from paretune.search.run.work import Work
from paretune.spaces import Candidate, SearchSpace


class LiveReporter(Reporter):
    """Prints one line per trial, and shows below what is being done now.

    Args:
        out: The terminal; that of standard output by default.
    """

    def __init__(self, out: Console | None = None) -> None:
        self.console = out or usual_console
        self._view = LiveView(self.console, lambda width: self._phase.lines(width))
        self._phase: Phase = Preparing("")
        self._space: SearchSpace | None = None

    def preparing(self, what: str) -> None:
        """Show what is being prepared."""
        self._enter(Preparing(what))

    def started(
        self,
        name: str,
        space: SearchSpace,
        history: History,
        budget: Budget,
        stages: Callable[[], Sequence[OngoingStage]] = tuple,
    ) -> None:
        """Print the space, the objectives and the budget; show the search."""
        for line in beginning(name, space, history, budget):
            self.console.print(line)
        self._space = space
        self._enter(Searching(space, history, budget, stages))

    def noted(self, text: str) -> None:
        """Print what a person should know."""
        self.console.print(f"[yellow]note:[/] {escape(text)}")

    def working(self, work: Sequence[Work], left: TimeLeft) -> None:
        """Show what is being done."""
        if isinstance(self._phase, Searching):
            self._phase.working(work, left)

    def trial_finished(self, record: TrialRecord, history: History) -> None:
        """Print the trial's line."""
        if isinstance(self._phase, Searching):
            self._phase.count(history)
        label = self._label(record.candidate)
        self.console.print(short_line(record, history, label, self.console.width - 1))

    def gave_up(self, reason: str) -> None:
        """Print what is excluded from now on."""
        self.console.print(f"[yellow]no longer tried:[/] {escape(reason)}")

    def confirming(self, progress: ConfirmationProgress) -> None:
        """Show how far the confirmation is."""
        if not isinstance(self._phase, Confirming):
            self.console.print(f"\n{confirmation_beginning(progress)}")
            self._enter(Confirming())
        if isinstance(self._phase, Confirming):
            self._phase.measuring(progress, self._label(progress.candidate))

    def stop(self) -> None:
        """Remove the view."""
        self._view.hide()

    def _enter(self, phase: Phase) -> None:
        self._phase = phase
        self._view.show()

    def _label(self, candidate: Candidate) -> str:
        return candidate.label if self._space is None else short_label(candidate, self._space)
