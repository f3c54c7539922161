"""What stands for the build pool where nothing is built."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import NoReturn

from paretune.runners.execute.job import Job
from paretune.runners.execute.ongoing_stage import OngoingStage


class NoBuilds:
    """A pool without build workers (see :class:`BuildPool`, of which it has what is used).

    Attributes:
        size: How many builds it takes at once: none.
    """

    size = 0

    def submit(self, job: Job) -> NoReturn:
        """Refuse a job.

        Raises:
            ValueError: Always.
        """
        raise ValueError(f"this host builds nothing, but was given a {type(job).__name__}")

    def wait(self, timeout_s: float | None = None) -> None:
        """Wait for so many seconds: no build will end."""
        time.sleep(timeout_s or 0.0)

    def stages(self) -> Sequence[OngoingStage]:
        """Return nothing: nothing is built."""
        return ()

    def builds_on(self, device: str) -> bool:
        """Return ``False``: no build holds a device."""
        return False

    def paused(self) -> AbstractContextManager[None]:
        """Return a context in which nothing is built."""
        return nullcontext()

    def cancel(self) -> None:
        """Do nothing: there is nothing to end."""

    def stop(self, *, kill: bool = False) -> None:
        """Do nothing: there is nothing to end."""
