"""Problems alone: for a cron job, or a script that reads the final table."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape

from paretune.search.record.history import History
from paretune.search.record.trial import TrialRecord
from paretune.search.review.console import console as usual_console
from paretune.search.review.terminal.trial_line import plain_line
from paretune.search.run.reporter import Reporter


class QuietReporter(Reporter):
    """Prints trials that failed, and what is excluded because of it.

    Args:
        out: The console to print on; standard output by default.
    """

    def __init__(self, out: Console | None = None) -> None:
        self.console = out or usual_console

    def trial_finished(self, record: TrialRecord, history: History) -> None:
        """Print the trial's line if it failed."""
        if record.failure:
            done = f"{len(history.records)} done"
            self.console.print(plain_line(record, history, done), soft_wrap=True)

    def gave_up(self, reason: str) -> None:
        """Print what is excluded from now on."""
        self.console.print(f"[yellow]no longer tried:[/] {escape(reason)}", soft_wrap=True)
