"""Which reporter a command has: by the terminal, and by what was asked for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from paretune.search.review.console import console
from paretune.search.review.terminal.live_reporter import LiveReporter
from paretune.search.review.terminal.plain_reporter import PlainReporter
from paretune.search.review.terminal.quiet_reporter import QuietReporter
from paretune.search.run.reporter import Reporter


def terminal_reporter(*, quiet: bool = False) -> Reporter:
    """Return what prints the progress of a study on standard output.

    A terminal that can move its cursor has a live view; a pipe, a file and a notebook have lines.

    Args:
        quiet: Print problems only.
    """
    if quiet:
        return QuietReporter()
    # rich takes a pipe for a terminal if FORCE_COLOR is set.
    can_redraw = console.is_interactive and console.file.isatty()
    return LiveReporter() if can_redraw else PlainReporter()


@contextmanager
def reporting(reporter: Reporter | None = None) -> Iterator[Reporter]:
    """Yield a reporter: the given one, or one of this context that prints, and ends with it."""
    if reporter is not None:
        yield reporter
        return
    own = terminal_reporter()
    try:
        yield own
    finally:
        own.stop()
