"""The build pool: build workers side by side, and a quiet machine whenever one is needed."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from queue import SimpleQueue
from types import TracebackType

from paretune.runners.environment import available_cores
from paretune.runners.execute.build_worker import BuildWorker
from paretune.runners.execute.job import Job
from paretune.runners.execute.outcome import Outcome
from paretune.runners.execute.worker_jobs import WorkerSettings
from paretune.runners.runtimes.lease import CPU, lease
from paretune.runners.workload.loaded import WorkloadInfo

_LOOK_SECONDS = 0.2


class BuildPool:
    """Some build workers; use it as a context manager, and from one thread.

    While anything is built the device lease is held, because builds and measurements use the same
    cores. To measure, the workers are suspended where they are and the lease is given back.

    Args:
        settings: Where the workers work; each has a log of its own and its share of the cores.
        size: How many builds may run at once.

    Attributes:
        service: A worker for what is asked in between (the workload's description, scores). It
            builds, too, if it is the only one; else it is never busy with a build.
    """

    def __init__(self, settings: WorkerSettings, size: int = 1) -> None:
        self.size = size
        self.service = BuildWorker(settings)
        self._builders = [self.service]
        if size > 1:
            threads = max(1, available_cores() // size)
            logs = [settings.log.with_stem(f"{settings.log.stem}-{n}") for n in range(1, size + 1)]
            self._builders = [
                BuildWorker(replace(settings, log=log, threads=threads)) for log in logs
            ]
        self._idle: SimpleQueue[BuildWorker] = SimpleQueue()
        for worker in self._builders:
            self._idle.put(worker)
        self._threads = ThreadPoolExecutor(size)
        self._running: set[Future[Outcome]] = set()
        self._lease = ExitStack()
        self._leased = False

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
        """Load the workload and say what the study needs to know of it; do this first.

        Raises:
            WorkloadError: If it cannot be loaded or breaks its protocol.
        """
        info = self.service.describe()
        for worker in self._builders:
            worker.fingerprint = info.fingerprint
        return info

    def submit(self, job: Job) -> Future[Outcome]:
        """Give a job to the next free worker."""
        self._hold()
        future = self._threads.submit(self._with_worker, job)
        self._running.add(future)
        return future

    def wait(self, timeout_s: float | None = None) -> None:
        """Wait until a job has ended, or for so many seconds."""
        _, self._running = wait(self._running, timeout_s, FIRST_COMPLETED)
        if not self._running:
            self._release()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Suspend all builds: within, the machine is free to be measured."""
        busy = any(not future.done() for future in self._running)
        suspended = [w for w in self._builders if busy and w is not self.service]
        for worker in suspended:
            worker.suspend()
        self._release()
        try:
            yield
        finally:
            try:
                if busy:
                    self._hold()
            finally:
                for worker in suspended:
                    worker.resume()

    def cancel(self) -> None:
        """End running builds at once, and wait until they have; workers start anew when needed."""
        for future in self._running:
            future.cancel()
        while self._running:
            for worker in self._builders:
                worker.stop(kill=True)
            # One that was just about to begin is met the next time.
            _, self._running = wait(self._running, _LOOK_SECONDS)
        self._release()

    def stop(self, *, kill: bool = False) -> None:
        """End all workers, after their jobs are done or (``kill``) at once."""
        for worker in {id(w): w for w in (self.service, *self._builders)}.values():
            worker.stop(kill=kill)
        self._threads.shutdown(wait=True, cancel_futures=True)
        self._running.clear()
        self._release()

    def _with_worker(self, job: Job) -> Outcome:
        worker = self._idle.get()
        try:
            return worker.perform(job)
        finally:
            self._idle.put(worker)

    def _hold(self) -> None:
        if not self._leased:
            self._lease.enter_context(lease(CPU))
            self._leased = True

    def _release(self) -> None:
        self._lease.close()
        self._leased = False
