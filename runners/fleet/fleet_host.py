"""A host of a fleet: does the coordinator's jobs, as a local executor does them on that machine."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

from paretune.runners import environment
from paretune.runners.execute.executor import BUILD, ON_DEVICE, Executor, Site
from paretune.runners.execute.job import Job
from paretune.runners.execute.ongoing_stage import OngoingStage
from paretune.runners.execute.outcome import Outcome
from paretune.runners.failure import Failure
from paretune.runners.fleet.assignment import Assignment
from paretune.runners.fleet.device import description
from paretune.runners.fleet.device.description import DeviceDescription
from paretune.runners.fleet.stage_events import StagesHere
from paretune.runners.measure.judged import Judged
from paretune.runners.measure.stored_samples import StoredSamples
from paretune.runners.runtimes.runner_setup import RunnerSetup
from paretune.spaces import ParetuneError, RunSpec

if TYPE_CHECKING:
    from distributed import Worker, WorkerPlugin

Answer = TypeVar("Answer")

PLUGIN = "paretune"
"""The name of a host among the plugins of its Dask worker."""

_SETTLE_S = 1.0
"""Seconds within which the news that a task was cancelled reaches its host. Chosen by judgement."""

_LOOK_S = 0.2
"""Seconds between looks at new jobs while others are under way. Chosen by judgement."""


Judging = Callable[[Assignment, str, StoredSamples, Sequence[str], int], Judged | Failure]
"""Judges outputs in a file of the store, by its digest, as :data:`Judge` does those in a folder."""


@dataclass(frozen=True)
class _Pending:
    """A job under way.

    Attributes:
        study: Its study's file.
        executor: Does it.
        is_wanted: Whether somebody waits for it, although its study has ended.
    """

    study: Path
    executor: Executor
    is_wanted: Callable[[], bool]


class FleetHost:
    """Does jobs in one thread, which is what a local executor asks for.

    It stands in a Dask worker (:func:`as_plugin`), whose threads call :meth:`perform` and wait.

    Args:
        open_executor: Returns the executor for an assignment.
        device: The name that measurements ask for; ``None`` if this host only builds.
        judge: Judges outputs for hosts without the workload, in the thread that asks; ``None`` if
            this host has no workload.
    """

    def __init__(
        self,
        open_executor: Callable[[Assignment], Executor],
        device: str | None = None,
        judge: Judging | None = None,
    ) -> None:
        self.device = device
        self.judge = judge
        self._open = open_executor
        self._executors: dict[str, Executor] = {}
        self._orders: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._pending: dict[Future[Outcome], _Pending] = {}
        self.news: StagesHere | None = None
        self._thread = threading.Thread(target=self._work, name="fleet-host", daemon=True)
        self._thread.start()

    def perform(
        self, assignment: Assignment, job: Job, is_wanted: Callable[[], bool] = lambda: False
    ) -> Outcome:
        """Do a job and return its outcome.

        Args:
            assignment: What it belongs to.
            job: The job.
            is_wanted: Whether somebody waits for it, although its study has ended.

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
            self._pending[done] = _Pending(assignment.study, executor, is_wanted)
            done.add_done_callback(lambda each: _pass_on(each, answer))

        self._orders.put(begin)
        return answer.result()

    def site(self, assignment: Assignment, run: RunSpec) -> Site:
        """Return what measurements on this host depend on; the slot has the host's device."""
        found = self.in_turn(lambda: self._executor(assignment).site(run))
        # Only what measures depends on this host; its packages may know nothing of builds.
        device = slot_of(self.device or "")
        return replace(found, device=device, building=assignment.building)

    def in_turn(self, ask: Callable[[], Answer]) -> Answer:
        """Return what a function says between two jobs: nothing is measured meanwhile."""
        answer: Future[Answer] = Future()

        def look() -> None:
            try:
                answer.set_result(ask())
            except BaseException as error:
                answer.set_exception(error)

        self._orders.put(look)
        return answer.result()

    def stop(self, study: Path) -> None:
        """End the pending jobs of a study, soon, unless another study waits for one of them."""
        self._orders.put(lambda: self._cancel(study))

    def _cancel(self, study: Path) -> None:
        own = [pending for pending in self._pending.values() if pending.study == study]
        wanted = {pending.executor for pending in own if pending.is_wanted()}
        for executor in {pending.executor for pending in own} - wanted:
            executor.cancel()

    def _executor(self, assignment: Assignment) -> Executor:
        key = assignment.key
        if key not in self._executors:
            self._executors[key] = self._open(assignment)
        return self._executors[key]

    @property
    def _working(self) -> set[Executor]:
        return {pending.executor for pending in self._pending.values()}

    def _work(self) -> None:
        while True:
            self._take(_LOOK_S if not self._pending else 0.0)
            working = self._working
            for executor in working:
                try:
                    executor.wait(_LOOK_S)
                except Exception as error:  # such as a lease that cannot be had
                    self._fail(executor, error)
            self._pending = {each: own for each, own in self._pending.items() if not each.done()}
            for executor in working - self._working:
                executor.wait(0.0)  # it releases what it held for its last job
            if self.news is not None:
                found: dict[Path, list[OngoingStage]] = {}
                for study, executor in {(p.study, p.executor) for p in self._pending.values()}:
                    found.setdefault(study, []).extend(executor.stages())
                self.news.tell(found)

    def _fail(self, executor: Executor, error: Exception) -> None:
        """Fail what would wait for ever for an executor that cannot go on."""
        for future, pending in self._pending.items():
            if pending.executor is executor:
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

    class HostPlugin(WorkerPlugin):  # type: ignore[misc]  # Dask is optional
        name = PLUGIN

        def __init__(self) -> None:
            self.host = host

        def setup(self, worker: Worker) -> None:
            host.news = StagesHere(worker)

    return HostPlugin()


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
        study: The study file on whose behalf it was done: its limits hold.
        outcome: The outcome as plain values; ``None`` if there is an error.
        error: What kept this host from doing the job, such as a full disk.
    """

    host: str
    study: Path
    outcome: dict[str, Any] | None = None
    error: ParetuneError | None = None


@dataclass(frozen=True)
class Judgement:
    """What a host says about outputs.

    Attributes:
        host: The host's address.
        judged: The judgement; ``None`` if there is an error.
        error: What kept this host from judging, such as another workload.
    """

    host: str
    judged: Judged | Failure | None = None
    error: ParetuneError | None = None


def perform(assignment: Assignment, job: Job) -> Done:
    """Do a job on the host that runs this task."""
    from distributed import get_worker

    worker, study = get_worker(), assignment.study
    key, tasks = worker.get_current_task(), worker.state.tasks

    def is_wanted() -> bool:
        return key in tasks and tasks[key].state == "executing"

    try:
        outcome = this_host().perform(assignment, job, is_wanted)
        return Done(worker.address, study, outcome.as_dict())
    except ParetuneError as error:
        return Done(worker.address, study, error=error)


def site(assignment: Assignment, run: RunSpec) -> Site:
    """Return :meth:`FleetHost.site` of the host that runs this task."""
    return this_host().site(assignment, run)


def describe(setups: Sequence[RunnerSetup], folder: Path) -> DeviceDescription:
    """Return what a study has to know of the machine that runs this task, and of its runners."""
    return this_host().in_turn(lambda: description.describe(setups, folder))


def judge(
    assignment: Assignment,
    outputs: str,
    samples: StoredSamples,
    names: Sequence[str],
    resamples: int,
) -> Judgement:
    """Judge outputs on the host that runs this task, which has the workload.

    Args:
        assignment: What a host has to know of the study.
        outputs: Digest of the outputs' file in the store.
        samples: What the model was run on.
        names: Names for the outputs; those of the runtime if there are none.
        resamples: Bootstrap samples of the objective.
    """
    from distributed import get_worker

    do, address = this_host().judge, str(get_worker().address)
    if do is None:
        raise TypeError("a host without builds was asked to judge")
    try:
        return Judgement(address, do(assignment, outputs, samples, names, resamples))
    except ParetuneError as error:
        return Judgement(address, error=error)


def stop(study: Path, dask_worker: Worker) -> None:
    """End a study's jobs on a host: it is called on all of them."""
    # By then the host knows which tasks nobody waits for.
    dask_worker.loop.call_later(_SETTLE_S, dask_worker.plugins[PLUGIN].host.stop, study)


def machine() -> dict[str, str]:
    """Return what describes the machine that runs this task."""
    return environment.fingerprint()


def condition() -> dict[str, float]:
    """Return the clock (MHz) and the highest temperature (°C) of this machine, where known."""
    import psutil

    found = {}
    if hasattr(psutil, "cpu_freq") and (clock := psutil.cpu_freq()):
        found["MHz"] = clock.current
    sensors = psutil.sensors_temperatures() if hasattr(psutil, "sensors_temperatures") else {}
    if warm := [each.current for chip in sensors.values() for each in chip]:
        found["°C"] = max(warm)
    return found
