"""Work: what the builders and devices of a search do at this moment."""

from __future__ import annotations

from dataclasses import dataclass

from paretune.runners.execute.executor import BUILD
from paretune.runners.execute.job import Job, Launch, Measure, Missing, Score
from paretune.search.record.unfinished import Unfinished
from paretune.spaces import Candidate

_DEVICE = "device:"


@dataclass(frozen=True)
class Work:
    """A job that is being done for a trial.

    Attributes:
        number: The trial.
        candidate: Its candidate.
        job: The job.
        slot: Where it is done: ``build``, or ``device:NAME``.
    """

    number: int
    candidate: Candidate
    job: Job
    slot: str

    @classmethod
    def of(cls, trial: Unfinished, job: Job, slot: str) -> Work:
        """Return a job of a trial as work."""
        return cls(trial.number, trial.candidate, job, slot)

    @property
    def place(self) -> str:
        """The builder or the device, in a word."""
        return self.slot.removeprefix(_DEVICE)

    @property
    def is_build(self) -> bool:
        """Whether it is a job of builds, whose stages are known while they run."""
        return self.slot == BUILD

    @property
    def words(self) -> str:
        """What is done, as far as the job says it."""
        match self.job:
            case Missing():
                return "planning"
            case Measure(with_quality=False):
                return "timing before training"
            case Measure() | Launch():
                return "measuring"
            case Score():
                return "quality on test split"
        return "starting"
