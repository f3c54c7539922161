"""The executor: does jobs on this machine, on other machines or on a simulated clock."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any, Protocol

from paretune.runners.execute.job import Job, Launch, Measure, Score
from paretune.runners.execute.ongoing_stage import OngoingStage
from paretune.runners.execute.outcome import Outcome
from paretune.runners.formats import format_for
from paretune.runners.measure.stored_samples import StoredSamples
from paretune.spaces import BuildSpec, RunSpec

BUILD = "build"
"""The slot of all builds; each device has its own slot, ``device:NAME``."""

ON_DEVICE = (Measure, Score, Launch)
"""The kinds of job that need a device; all others are builds."""


@dataclass(frozen=True)
class Site:
    """Where a candidate is built and measured, and what the outcomes depend on there.

    Attributes:
        formats: The names of the formats that the candidate's runner takes, first choice first.
        device: The slot of the device that it is measured on.
        samples: The inputs that it is measured on.
        building: Digest of what builds depend on besides the job's own fields.
        measuring: Digest of what measurements depend on besides the job's own fields.
    """

    formats: tuple[str, ...]
    device: str
    samples: StoredSamples
    building: str = ""
    measuring: str = ""

    def model_format(self, spec: BuildSpec) -> str:
        """Return the name of the format that a build is made in for the candidate's runner."""
        return format_for(spec.quantization.record, self.formats)

    def slot(self, job: Job) -> str:
        """Return the slot that a job needs."""
        return self.device if isinstance(job, ON_DEVICE) else BUILD

    def given(self, job: Job) -> str:
        """Return the digest of what a job's outcome depends on besides its own fields."""
        return self.measuring if isinstance(job, ON_DEVICE) else self.building


class Executor(Protocol):
    """Does jobs. Use it from one thread, and close it at the end.

    An executor may do its work inside :meth:`wait` only: call that, rather than block on a future.
    """

    def site(self, run: RunSpec) -> Site:
        """Return where candidates with this run are built and measured."""

    def capacity(self, slot: str) -> int:
        """Return how many jobs a slot takes at once, 0 if there is no such slot.

        Further jobs wait and are served in the order of submission.
        """

    def has_room(self, building: int, measuring: int) -> bool:
        """Return whether one more trial would have a slot soon; hosts of a fleet come and go.

        Args:
            building: How many trials have a job in the slot of builds, under way or waiting.
            measuring: How many have one on a device.
        """

    def submit(self, job: Job, slot: str) -> Future[Outcome]:
        """Submit a job to a slot.

        If an outcome is kept under the job's key, the future has it at once. Otherwise the job is
        done, and its outcome is kept (unless it is a failure) before the future has it. While a
        job is pending, submitting it again returns the same future.

        The future raises errors that concern more than this job, such as a full disk.

        Raises:
            ValueError: If there is no such slot, or the job cannot be done there.
            DeviceBusyError: If another process holds the machine until the deadline.
        """

    def stages(self) -> Sequence[OngoingStage]:
        """Return the stages that are under way, as far as known; callable from any thread."""

    def wait(self, timeout_s: float | None = None) -> None:
        """Wait until a job has ended, or for so many seconds.

        It may take longer if a job is done in the waiting thread.
        """

    def cancel(self) -> None:
        """Stop all pending jobs at once; their futures raise ``CancelledError``."""

    def close(self, *, kill: bool = False) -> None:
        """Release everything, after the running jobs have ended or (``kill``) at once."""


def done(executor: Executor, job: Job, run: RunSpec) -> Any:
    """Have a job done, wait for it, and return the value of its outcome.

    Args:
        executor: Does it.
        job: The job; where it is done is put into its key.
        run: How its candidate is run.
    """
    site = executor.site(run)
    future = executor.submit(replace(job, given=site.given(job)), site.slot(job))
    while not future.done():
        executor.wait()
    return future.result().value
