"""A flight: a trial that has been started and has no record yet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass

from paretune.runners.execute.executor import Site
from paretune.runners.execute.job import Job
from paretune.runners.execute.outcome import Outcome
from paretune.search.record.unfinished import Unfinished
from paretune.search.run.attempt import Jobs


@dataclass(eq=False)
class Flight:
    """A trial that has been started and has no record yet.

    Attributes:
        trial: The trial.
        site: Where its candidate is built and measured.
        jobs: Its remaining jobs.
        slot: The slot of the job that it waits for.
        future: The outcome of that job, once it is done.
        job: That job.
        began: When the trial began, on the loop's clock.
        expected_s: Seconds that it is expected to take in all; ``None`` if unknown.
    """

    trial: Unfinished
    site: Site
    jobs: Jobs
    slot: str = ""
    future: Future[Outcome] | None = None
    job: Job | None = None
    began: float = 0.0
    expected_s: float | None = None

    @property
    def is_ready(self) -> bool:
        """Whether its job is done, so that it can continue."""
        return self.future is not None and self.future.done()


def at_work(flights: Iterable[Flight], capacity: Callable[[str], int]) -> list[Flight]:
    """Return the flights whose job is running or suspended, and not waiting for its slot.

    Args:
        flights: All flights, in the order in which their jobs were submitted.
        capacity: Returns how many jobs a slot takes at once; slots serve in order of submission.
    """
    busy: Counter[str] = Counter()
    found = []
    for flight in flights:
        if flight.future is not None and not flight.is_ready:
            busy[flight.slot] += 1
            if busy[flight.slot] <= capacity(flight.slot):
                found.append(flight)
    return found
