"""What Ctrl-C and SIGTERM do to a command that runs for hours."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from paretune.spaces.errors import ParetuneError

if TYPE_CHECKING:
    from paretune.search.run.reporter import Reporter


class _TerminatedError(KeyboardInterrupt):
    """SIGTERM came."""


@contextmanager
def interruptible(study: Path, reporter: Reporter) -> Iterator[None]:
    """On Ctrl-C or SIGTERM drop the trials in flight, print the current frontier, and exit."""

    def terminate(number: int, frame: FrameType | None) -> None:
        raise _TerminatedError

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    except KeyboardInterrupt as interruption:
        from paretune.search.review.console import console
        from paretune.search.review.frontier_table import frontier_table
        from paretune.search.study import api

        reporter.stop()
        console.print("\ninterrupted; the same command continues from here")
        with suppress(ParetuneError):  # interrupted before there was a study
            console.print(frontier_table(api.status(study)))
        sys.exit(143 if isinstance(interruption, _TerminatedError) else 130)
    finally:
        signal.signal(signal.SIGTERM, before)
        reporter.stop()
