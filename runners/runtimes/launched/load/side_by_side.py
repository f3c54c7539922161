"""Instances side by side: each called by a thread of its own, and all timed together.

A service with several sessions shares caches, memory bandwidth and clocks among them, so the time
of a call alone says too little. Calls release Python's lock while they compute; what is left is a
few microseconds per call, as in a service in Python.
"""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from ..backend import Job, Model, load
from ..refusal import RefusedError
from ..timing import Call, alive, warm_up

_LOOK_SECONDS = 0.5
"""Seconds between looks at the threads: a waking thread takes a core from the timed ones, so it
wakes rarely. Chosen by judgement.
"""


def instances(job: Job) -> int:
    """Return how many instances a job has.

    Raises:
        RefusedError: If it has several on another device than the processor.
    """
    count = int(job["axes"].get("instances", 1))
    if count > 1 and job.get("device", "cpu") != "cpu":
        raise RefusedError(
            "unsupported",
            f"{count} instances on {job['device']}: instances side by side are timed on the "
            "processor only; use instances: 1 there",
        )
    return count


def load_all(job: Job) -> list[Model]:
    """Load each instance of a job's model, one after the other."""
    return [load(job) for _ in range(instances(job))]


def proof_of(models: Sequence[Model]) -> Any:
    """Return what the first model ran on, after asking all of them; ``None`` if they do not tell.

    Raises:
        RefusedError: If one of them left its provider.
    """
    proofs = [getattr(model, "proof", None) for model in models]
    told = [proof() if proof else None for proof in proofs]
    return told[0]


class SideBySide:
    """Calls of several instances at the same time.

    Args:
        calls: What calls each instance.
    """

    def __init__(self, calls: Sequence[Call]) -> None:
        self._calls = list(calls)

    def warm_up(self, limit_seconds: float) -> dict[str, Any]:
        """Call all instances until each is steady, or the time is up (see ``timing.warm_up``).

        An instance that is steady goes on until all are: the others would warm up with less company
        than they are timed with.
        """
        found: dict[int, dict[str, Any]] = {}

        def each(place: int, stop: threading.Event) -> None:
            found[place] = warm_up(self._calls[place], limit_seconds)
            turn = 0
            while len(found) < len(self._calls) and not stop.is_set():
                self._calls[place](turn)
                turn += 1

        together(each, len(self._calls))
        return {
            "iterations": sum(one["iterations"] for one in found.values()),
            "steady": all(one["steady"] for one in found.values()),
        }

    def steady(self, job: Job) -> list[float]:
        """Call for as long and as often as the job asks for, all instances together.

        A call counts if it ended while all were still being called.

        Returns:
            The milliseconds of the calls of all instances, in the order in which they ended.
        """
        count, ended = len(self._calls), []
        fewest = -(-job["min_iterations"] // count)
        calls = [0] * count
        started = time.perf_counter()

        def each(place: int, stop: threading.Event) -> None:
            turn = place  # so that instances do not read the same data at the same time
            while not stop.is_set():
                ms = self._calls[place](turn)
                turn += 1
                if stop.is_set():
                    break
                now = time.perf_counter()
                ended.append((now, ms))
                calls[place] += 1
                is_enough = min(calls) >= fewest and now - started >= job["min_seconds"]
                if is_enough or len(ended) >= job["max_iterations"]:
                    stop.set()

        together(each, count, lambda: min(calls))
        return [ms for _, ms in sorted(ended)]


def together(
    work: Callable[[int, threading.Event], None],
    count: int,
    progress: Callable[[], float] | None = None,
) -> None:
    """Do a piece of work in so many threads, which begin at the same time.

    Args:
        work: Given the number of the thread and an event: it ends soon after that was set.
        count: How many threads.
        progress: Grows while all threads get on: whenever it has grown, the parent is shown a sign
            of life. If one thread hangs, the job's deadline ends it.

    Raises:
        BaseException: The first error of a thread.
    """
    stop, ready = threading.Event(), threading.Barrier(count)
    errors: list[BaseException] = []

    def run(place: int) -> None:
        try:
            ready.wait()
            work(place, stop)
        except BaseException as error:
            errors.append(error)
            stop.set()

    threads = [threading.Thread(target=run, args=(place,), daemon=True) for place in range(count)]
    for thread in threads:
        thread.start()
    seen = 0.0
    for thread in threads:
        while thread.is_alive():
            thread.join(_LOOK_SECONDS)
            if progress is not None and progress() > seen:
                seen = progress()
                alive()
    if errors:
        raise errors[0]
