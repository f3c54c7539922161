"""The build pool: parallel build workers, suspended while the machine must be quiet."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager
from dataclasses import replace
from itertools import cycle, islice
from queue import SimpleQueue
from types import MappingProxyType, TracebackType

from paretune.runners.cores import available_cores
from paretune.runners.execute.build_worker import BuildWorker
from paretune.runners.execute.held_cores import HeldCores
from paretune.runners.execute.job import Job
from paretune.runners.execute.ongoing_stage import OngoingStage
from paretune.runners.execute.outcome import Outcome
from paretune.runners.execute.worker_jobs import WorkerSettings
from paretune.runners.workload.loaded import WorkloadInfo

_LOOK_SECONDS = 0.2
"""Seconds between looks at the builds. Chosen by judgement."""


class BuildPool:
    """A pool of build workers; use it as a context manager, and from one thread.

    The pool holds the device lease while it builds, because builds and measurements use the same
    cores. For a measurement, the workers are suspended and the lease is released. A suspended
    worker keeps its card's memory, so measurements on a card wait until no worker builds there (see
    :meth:`builds_on`).

    Args:
        settings: Settings of the workers; each has its own log and its share of the cores.
        size: Maximum number of builds at once.
        cards: The UUIDs of the cards to train on, by device. The workers take them in turn, and
            each sees only its own.
        judges: Whether measurements ask the service to judge: then it goes on while builds are
            suspended, even if it is the only worker and builds.
        cores: Held while it builds; shared by the pools of one process.

    Attributes:
        service: A worker for requests in between (the workload's description, scores). It builds as
            well if it is the only one; otherwise it is never busy with a build.
    """

    def __init__(
        self,
        settings: WorkerSettings,
        size: int = 1,
        cards: Mapping[str, str] = MappingProxyType({}),
        *,
        judges: bool = True,
        cores: HeldCores | None = None,
    ) -> None:
        self.size = size
        self._judges = judges
        # More workers than cards share them in turn; without cards, each has none.
        own = list(islice(cycle(cards.items() or [(None, None)]), size))
        names = [uuid for _, uuid in own]
        self.service = BuildWorker(replace(settings, card=names[0]))
        self._builders = [self.service]
        if size > 1:
            threads = max(1, available_cores() // size)
            logs = [settings.log.with_stem(f"{settings.log.stem}-{n}") for n in range(1, size + 1)]
            self._builders = [
                BuildWorker(replace(settings, log=log, threads=threads, card=name))
                for log, name in zip(logs, names, strict=True)
            ]
        self._devices = [device for device, _ in own]
        self._busy: set[BuildWorker] = set()
        self._idle: SimpleQueue[BuildWorker] = SimpleQueue()
        for worker in self._builders:
            self._idle.put(worker)
        self._threads = ThreadPoolExecutor(size)
        self._running: set[Future[Outcome]] = set()
        self._cores = cores or HeldCores()

    def __enter__(self) -> BuildPool:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop(kill=kind is not None)

    def describe(self) -> WorkloadInfo:
        """Load the workload and describe it for the study; call this first.

        Raises:
            WorkloadError: If it cannot be loaded or breaks its protocol.
        """
        info = self.service.describe()
        for worker in self._builders:
            worker.fingerprint = info.fingerprint
        return info

    def submit(self, job: Job) -> Future[Outcome]:
        """Submit a job to the next free worker."""
        self._cores.hold(self)
        future = self._threads.submit(self._with_worker, job)
        self._running.add(future)
        return future

    def wait(self, timeout_s: float | None = None) -> None:
        """Wait until a job has ended, or until a timeout."""
        _, self._running = wait(self._running, timeout_s, FIRST_COMPLETED)
        if not self._running:
            self._cores.release(self)

    def builds_on(self, device: str) -> bool:
        """Tell whether a worker whose card is this device has a job."""
        workers = zip(self._builders, self._devices, strict=True)
        return any(worker in self._busy for worker, own in workers if own == device)

    def stages(self) -> list[OngoingStage]:
        """Return the stages that are under way; callable from any thread."""
        found = [worker.stage() for worker in self._builders if worker in self._busy]
        return [each for each in found if each is not None]

    @property
    def is_busy(self) -> bool:
        """Whether a build is under way."""
        return any(not future.done() for future in self._running)

    def paused(self) -> AbstractContextManager[None]:
        """Suspend all builds: inside this context the machine is free for measurements."""
        return self._cores.given_up()

    def suspend(self) -> None:
        """Stop all workers that only build; the cores stay held."""
        for worker in self._suspendable:
            worker.suspend()

    def resume(self) -> None:
        """Continue what :meth:`suspend` stopped."""
        for worker in self._suspendable:
            worker.resume()

    @property
    def _suspendable(self) -> list[BuildWorker]:
        going_on = self.service if self._judges else None
        return [worker for worker in self._builders if worker is not going_on]

    def cancel(self) -> None:
        """End running builds at once and wait for that; workers start again when needed."""
        for future in self._running:
            future.cancel()
        while self._running:
            for worker in self._builders:
                worker.stop(kill=True)
            # A job that was about to start is stopped in the next round.
            _, self._running = wait(self._running, _LOOK_SECONDS)
        self._cores.release(self)

    def stop(self, *, kill: bool = False) -> None:
        """End all workers, after their jobs or (``kill``) at once."""
        for worker in {id(w): w for w in (self.service, *self._builders)}.values():
            worker.stop(kill=kill)
        self._threads.shutdown(wait=True, cancel_futures=True)
        self._running.clear()
        self._cores.release(self)

    def _with_worker(self, job: Job) -> Outcome:
        worker = self._idle.get()
        self._busy.add(worker)
        try:
            return worker.perform(job)
        finally:
            self._busy.discard(worker)
            self._idle.put(worker)
