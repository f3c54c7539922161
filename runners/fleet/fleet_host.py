"""A host of a fleet: does the coordinator's jobs, as a local executor does them on that machine."""

from __future__ import annotations

import platform
import threading
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from paretune.runners import environment
from paretune.runners.execute.executor import BUILD, ON_DEVICE, Executor, Site
from paretune.runners.execute.job import Job
from paretune.runners.execute.outcome import Outcome
from paretune.runners.measure.stored_samples import StoredSamples
from paretune.runners.runtimes.settings import MeasurementSettings
from paretune.spaces import ParetuneError, RunSpec, StoreError, digest

if TYPE_CHECKING:
    from distributed import Worker, WorkerPlugin

PLUGIN = "paretune"
"""The name of a host among the plugins of its Dask worker."""

_LOOK_S = 0.2
"""Seconds between looks at new jobs while others are under way. Chosen by judgement."""


@dataclass(frozen=True)
class Assignment:
    """What a host has to know of a study to do its jobs.

    Attributes:
        study: The study file, at the same place on every machine.
        settings: How much to measure.
        samples: What it measures on.
        building: Digest of what builds depend on: the host refuses to build from anything else.
    """

    study: Path
    settings: MeasurementSettings
    samples: StoredSamples
    building: str

    @property
    def key(self) -> str:
        """Digest of all of it."""
        how = {"settings": asdict(self.settings), "samples": asdict(self.samples)}
        return digest({"study": str(self.study), "building": self.building, **how})


class FleetHost:
    """Does jobs in one thread, which is what a local executor asks for.

    It stands in a Dask worker (:func:`as_plugin`), whose threads call :meth:`perform` and wait.

    Args:
        open_executor: Returns the executor for an assignment.
        device: The name that measurements ask for; ``None`` if this host only builds.
    """

    def __init__(
        self,
        open_executor: Callable[[Assignment], Executor],
        device: str | None = None,
    ) -> None:
        self.device = device
        self._open = open_executor
        self._executors: dict[str, Executor] = {}
        self._orders: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._pending: dict[Future[Outcome], tuple[Path, Executor]] = {}
        self._thread = threading.Thread(target=self._work, name="fleet-host", daemon=True)
        self._thread.start()

    def perform(self, assignment: Assignment, job: Job) -> Outcome:
        """Do a job and return its outcome.

        Raises:
            ParetuneError: If the error concerns more than this job, such as a missing study file.
        """
        answer: Future[Outcome] = Future()

        def begin() -> None:
            try:
                executor = self._executor(assignment)
                slot = executor.site(job.run).slot(job) if isinstance(job, ON_DEVICE) else BUILD
                done = executor.submit(job, slot)
            except BaseException as error:
                answer.set_exception(error)
                return
            self._pending[done] = assignment.study, executor
            done.add_done_callback(lambda each: _pass_on(each, answer))

        self._orders.put(begin)
        return answer.result()

    def site(self, assignment: Assignment, run: RunSpec) -> Site:
        """Return what measurements on this host depend on; the slot has the host's device."""
        answer: Future[Site] = Future()

        def look() -> None:
            try:
                answer.set_result(self._executor(assignment).site(run))
            except BaseException as error:
                answer.set_exception(error)

        self._orders.put(look)
        return replace(answer.result(), device=slot_of(self.device or ""))

    def stop(self, study: Path) -> None:
        """End the pending jobs of a study, soon."""
        self._orders.put(lambda: self._cancel(study))

    def _cancel(self, study: Path) -> None:
        for executor in {executor for own, executor in self._pending.values() if own == study}:
            executor.cancel()

    def _executor(self, assignment: Assignment) -> Executor:
        key = assignment.key
        if key not in self._executors:
            if not assignment.study.is_file():
                raise StoreError(
                    f"{platform.node()} has no {assignment.study}: the folders of the study and, "
                    "unless it is at a URL, of its store must lie at the same place on every "
                    "machine of the fleet"
                )
            self._executors[key] = self._open(assignment)
        return self._executors[key]

    def _work(self) -> None:
        while True:
            self._take(_LOOK_S if not self._pending else 0.0)
            for executor in {executor for _, executor in self._pending.values()}:
                try:
                    executor.wait(_LOOK_S)
                except Exception as error:  # such as a lease that cannot be had
                    self._fail(executor, error)
            self._pending = {each: own for each, own in self._pending.items() if not each.done()}

    def _fail(self, executor: Executor, error: Exception) -> None:
        """Fail what would wait for ever for an executor that cannot go on."""
        for future, (_, own) in self._pending.items():
            if own is executor:
                with suppress(InvalidStateError):
                    future.set_exception(error)

    def _take(self, timeout_s: float) -> None:
        """Carry out what was asked, in order; wait for the first for so many seconds."""
        try:
            order = self._orders.get(timeout=timeout_s) if timeout_s else self._orders.get_nowait()
            while True:
                order()
                order = self._orders.get_nowait()
        except Empty:
            return


def slot_of(device: str) -> str:
    """Return the slot of a device by its name in the fleet."""
    return f"device:{device}"


def _pass_on(done: Future[Outcome], answer: Future[Outcome]) -> None:
    if done.cancelled():
        answer.cancel()
    elif (error := done.exception()) is not None:
        answer.set_exception(error)
    else:
        answer.set_result(done.result())


def as_plugin(host: FleetHost) -> WorkerPlugin:
    """Return a plugin that lets the tasks of a Dask worker find the host."""
    from distributed import WorkerPlugin

    plugin = WorkerPlugin()
    plugin.name, plugin.host = PLUGIN, host
    return plugin


def this_host() -> FleetHost:
    """Return the host whose Dask worker runs this task."""
    from distributed import get_worker

    host: FleetHost = get_worker().plugins[PLUGIN].host
    return host


@dataclass(frozen=True)
class Done:
    """What a host says about a job.

    Attributes:
        host: The host's address.
        outcome: The outcome as plain values; ``None`` if there is an error.
        error: What kept this host from doing the job, such as a full disk.
    """

    host: str
    outcome: dict[str, Any] | None = None
    error: ParetuneError | None = None


def perform(assignment: Assignment, job: Job) -> Done:
    """Do a job on the host that runs this task."""
    from distributed import get_worker

    address = str(get_worker().address)
    try:
        return Done(address, this_host().perform(assignment, job).as_dict())
    except ParetuneError as error:
        return Done(address, error=error)


def site(assignment: Assignment, run: RunSpec) -> Site:
    """Return :meth:`FleetHost.site` of the host that runs this task."""
    return this_host().site(assignment, run)


def stop(study: Path, dask_worker: Worker) -> None:
    """End a study's jobs on a host: it is called on all of them."""
    dask_worker.plugins[PLUGIN].host.stop(study)


def machine() -> dict[str, str]:
    """Return what describes the machine that runs this task."""
    return environment.fingerprint()
