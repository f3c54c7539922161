"""A flight: a trial that has been started and has no record yet."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from paretune.search.record.unfinished import Unfinished
from paretune.search.run.attempt import BuildStep, MeasureStep, Steps


@dataclass
class Flight:
    """A trial that has been started and has no record yet.

    Attributes:
        trial: The trial.
        steps: What is left of it.
        step: What it waits for.
        future: The running build, if that is what it waits for.
    """

    trial: Unfinished
    steps: Steps
    step: BuildStep | MeasureStep | None = None
    future: Future[Any] | None = None

    @property
    def is_building(self) -> bool:
        """Whether a build of it is running at this moment, or is suspended in the middle."""
        return self.future is not None and not self.future.done()
