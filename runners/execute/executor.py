"""The executor: whatever does jobs, here, on other machines or on a simulated clock."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol

from paretune.runners.execute.job import Job, Measure
from paretune.runners.execute.outcome import Outcome
from paretune.runners.model_format import ModelFormat
from paretune.spaces import RunSpec

BUILD = "build"
"""The slot of everything that is built; each device has one of its own, ``device:NAME``."""


@dataclass(frozen=True)
class Site:
    """Where the jobs of a candidate are done, and what their outcomes depend on there.

    Attributes:
        model_format: What the candidate's runner takes.
        device: The slot of the device that it is measured on.
        building: What a build depends on beside its own fields: a digest.
        measuring: What a measurement depends on beside its own fields: a digest.
    """

    model_format: ModelFormat
    device: str
    building: str = ""
    measuring: str = ""

    def slot(self, job: Job) -> str:
        """Return the slot that a job is for."""
        return self.device if isinstance(job, Measure) else BUILD

    def given(self, job: Job) -> str:
        """Return what a job's outcome depends on beside its own fields."""
        return self.measuring if isinstance(job, Measure) else self.building


class Executor(Protocol):
    """Does jobs. It is used from one thread, and closed at the end.

    Work need not go on unless somebody waits: results come about in :meth:`wait`.
    """

    def site(self, run: RunSpec) -> Site:
        """Say where a candidate that is run like this is built and measured."""

    def capacity(self, slot: str) -> int:
        """Return how many jobs a slot takes at once; those beyond that wait, first come first."""

    def submit(self, job: Job, slot: str) -> Future[Outcome]:
        """Have a job done in a slot.

        What was done before costs nothing: the outcome that is kept under the job's key is given.
        Otherwise it is kept, unless it is a failure, before the future has it. A job that is under
        way already has one future, however often it is submitted.

        The future raises what ends the study and not only the job, such as a full disk.

        Raises:
            ValueError: If there is no such slot.
            DeviceBusyError: If another process holds the machine, and time is up.
        """

    def wait(self, timeout_s: float | None = None) -> None:
        """Wait until some job has ended, or for so many seconds.

        A job that has the machine for itself may take it longer: it is done first.
        """

    def cancel(self) -> None:
        """Leave all jobs: end those under way at once. Their futures raise ``CancelledError``."""

    def close(self, *, kill: bool = False) -> None:
        """Let go of everything, after the jobs under way are done or (``kill``) at once."""
