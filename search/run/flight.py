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
        steps: Its remaining steps.
        step: The step it waits for.
        future: The running build, if it waits for one.
    """

    trial: Unfinished
    steps: Steps
    step: BuildStep | MeasureStep | None = None
    future: Future[Any] | None = None

    @property
    def is_building(self) -> bool:
        """Whether a build of it is running or suspended."""
        return self.future is not None and not self.future.done()
