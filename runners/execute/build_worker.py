"""The build worker: workload, training and compression run in a separate process.

A stage that segfaults or takes all memory ends that process, not the study, and the study's own
process never imports torch. The worker is a loky process (through joblib) that is started again
after it died. Output of a job goes to a log, and a failure carries the log's end.
"""

from __future__ import annotations

import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from joblib.externals.loky import ProcessPoolExecutor
from joblib.externals.loky.process_executor import ShutdownExecutorError

from paretune.runners.execute import worker_jobs
from paretune.runners.execute.job import Job
from paretune.runners.execute.ongoing_stage import OngoingStage
from paretune.runners.execute.outcome import Outcome
from paretune.runners.execute.outcomes import Outcomes
from paretune.runners.execute.worker_jobs import WorkerSettings
from paretune.runners.failure import Failure, FailureKind, log_end
from paretune.runners.measure.judged import Judged
from paretune.runners.measure.stored_samples import StoredSamples
from paretune.runners.store.artifact_store import ArtifactStore
from paretune.runners.workload.loaded import WorkloadInfo
from paretune.spaces import ParetuneError

if TYPE_CHECKING:
    from concurrent.futures import Future

Result = TypeVar("Result")

# Loky renews a process that has grown by 300 MB, between two jobs: no news for a person.
warnings.filterwarnings("ignore", "A worker stopped while some jobs were given", UserWarning)

_LOOK_SECONDS = 1.0
"""Seconds between looks at a worker's memory and deadline. Chosen by judgement."""


class BuildWorker:
    """Builds and scores in a child process; use it as a context manager.

    Args:
        settings: Its settings.

    Attributes:
        fingerprint: The workload's fingerprint, once known: the process refuses any other.
    """

    def __init__(self, settings: WorkerSettings) -> None:
        self.settings = settings
        self._executor: ProcessPoolExecutor | None = None
        self.fingerprint: str | None = None
        self._clock = _WorkingTime()
        self._going = threading.Event()
        self._going.set()

    def __enter__(self) -> BuildWorker:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        self.stop(kill=kind is not None)

    def describe(self) -> WorkloadInfo:
        """Load the workload and describe it for the study.

        Raises:
            WorkloadError: If it cannot be loaded or breaks its protocol.
        """
        info = self._run("workload", worker_jobs.describe)
        self.fingerprint = info.fingerprint
        return info

    def epoch_seconds(self) -> dict[str, float]:
        """Return the seconds per epoch of training on this machine, by model."""
        return self._run("workload", worker_jobs.epoch_seconds)

    def put_samples(self, split: str, most: int | None = None) -> StoredSamples:
        """Store inputs and targets of a split, or of ``most`` of its samples."""
        return self._run("workload", worker_jobs.put_samples, split, most)

    def put_requests(self, split: str, most: int | None = None) -> str:
        """Store the same samples' requests for the pipeline (an ``.npz`` file); return its digest.

        Raises:
            WorkloadError: If the pipeline does not turn them into the split's inputs.
        """
        return self._run("workload", worker_jobs.put_requests, split, most)

    def perform(self, job: Job) -> Outcome:
        """Do a build job and return its outcome.

        Raises:
            CancelledError: If the worker was stopped meanwhile.
            ParetuneError: If the error concerns more than this job, such as a full disk.
        """
        started = time.monotonic()
        try:
            outcome = self._run("build", worker_jobs.perform, job)
        except _DiedError as end:
            # It may have died after it had kept the outcome.
            kept = Outcomes(self.settings.open_store()).kept(job)
            return kept or Outcome(end.failure, time.monotonic() - started)
        if isinstance(outcome.value, Failure):
            return replace(outcome, value=replace(outcome.value, log=self._log()))
        return outcome

    def judge(
        self, outputs: Path, samples: StoredSamples, names: Sequence[str], resamples: int
    ) -> Judged | Failure:
        """Return what the metrics say about outputs (see :func:`worker_jobs.judge_outputs`)."""
        try:
            return self._run(
                "evaluate", worker_jobs.judge_outputs, outputs, samples, names, resamples
            )
        except _DiedError as end:
            return end.failure

    def stage(self) -> OngoingStage | None:
        """Return the stage that is under way, if one is; callable from any thread."""
        found = self.settings.stage.read()
        return found and replace(found, is_suspended=not self._going.is_set())

    def stop(self, *, kill: bool = False) -> None:
        """End the process, after its job or (``kill``) at once."""
        if self._executor is not None:
            self._executor.shutdown(wait=True, kill_workers=kill)
            self._executor = None
            if kill:  # or died already: its leftovers would fill the disk, night after night
                ArtifactStore(self.settings.store).sweep()

    def suspend(self) -> None:
        """Stop the process and its children: they use no core until they are resumed."""
        self._going.clear()
        self._clock.stop()
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Continue the process; suspended time does not count."""
        self._signal(signal.SIGCONT)
        self._clock.go_on()
        self._going.set()

    def _signal(self, number: signal.Signals) -> None:
        import psutil

        for pid in list(self._executor._processes) if self._executor else []:
            # The user's own training may have processes of its own, which load data.
            with suppress(psutil.NoSuchProcess):
                process = psutil.Process(pid)
                for each in (process, *process.children(recursive=True)):
                    with suppress(psutil.NoSuchProcess):
                        each.send_signal(number)

    def _result(self, future: Future[Result]) -> Result:
        """Wait for a job until its deadline.

        The deadline is postponed while the process is suspended, or waits for a stage that another
        worker runs.
        """
        before = self._clock.seconds()
        waited, looked = 0.0, before
        while True:
            now = self._clock.seconds()
            if self.settings.waiting.exists():
                waited += now - looked
            looked = now
            left = self.settings.timeout_s - (now - before - waited)
            if left <= 0 and not self._clock.is_stopped and not future.done():
                raise TimeoutError
            with suppress(TimeoutError):
                return future.result(min(max(left, 0.01), _LOOK_SECONDS))

    def _run(self, stage: str, job: Callable[..., Result], *arguments: Any) -> Result:
        settings = self.settings
        self._going.wait()
        settings.log.parent.mkdir(parents=True, exist_ok=True)
        settings.log.write_bytes(b"")
        settings.waiting.unlink(missing_ok=True)  # of a worker that was killed
        settings.stage.remove()
        try:
            try:
                future = self._submit(job, *arguments)
            except BrokenProcessPool:
                # The process died between two jobs: this job is not to blame.
                self.stop(kill=True)
                future = self._submit(job, *arguments)
            return self._result(future)
        except ShutdownExecutorError as error:
            raise CancelledError from error
        except TimeoutError as error:
            self.stop(kill=True)
            message = (
                f"not finished after {settings.timeout_s:g} s; if it needs longer, raise "
                "budget.build_timeout_s"
            )
            raise _DiedError(self._failure(stage, FailureKind.TIMEOUT, message)) from error
        except BrokenProcessPool as error:
            self.stop(kill=True)
            killed = "SIGKILL" in str(error)
            kind = FailureKind.OUT_OF_MEMORY if killed else FailureKind.CRASH
            why = "was killed, most likely because memory ran out" if killed else "crashed"
            message = f"the build process {why} ({str(error).split('exit codes')[-1].strip(' .')})"
            raise _DiedError(self._failure(stage, kind, message)) from error

    def _submit(self, job: Callable[..., Result], *arguments: Any) -> Future[Result]:
        if self._executor is None:
            self._executor = ProcessPoolExecutor(
                max_workers=1,
                initializer=worker_jobs.start,
                initargs=(self.settings, self.fingerprint, os.getpid()),
            )
        future: Future[Result] = self._executor.submit(job, *arguments)
        return future

    def _failure(self, stage: str, kind: FailureKind, message: str) -> Failure:
        log = self.settings.log.read_text("utf-8", errors="replace")
        marks = [line for line in log.splitlines() if line.startswith(worker_jobs.STAGE_MARK)]
        if marks:
            stage = marks[-1].removeprefix(worker_jobs.STAGE_MARK)
        return Failure(stage, kind, message, log_end(log))

    def _log(self) -> str:
        return log_end(self.settings.log.read_text("utf-8", errors="replace"))


class _WorkingTime:
    """A clock that stands still while it is stopped; for several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stopped_at: float | None = None
        self._stopped_s = 0.0

    @property
    def is_stopped(self) -> bool:
        """Whether it stands still."""
        return self._stopped_at is not None

    def seconds(self) -> float:
        """Return the time on it."""
        with self._lock:
            now = time.monotonic() if self._stopped_at is None else self._stopped_at
            return now - self._stopped_s

    def stop(self) -> None:
        """Stop it, if it goes."""
        with self._lock:
            if self._stopped_at is None:
                self._stopped_at = time.monotonic()

    def go_on(self) -> None:
        """Let it go on, if it stands still."""
        with self._lock:
            if self._stopped_at is not None:
                self._stopped_s += time.monotonic() - self._stopped_at
                self._stopped_at = None


class _DiedError(ParetuneError):
    """The worker ended without a result; carries the failure."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(f"{failure.stage}: {failure.message}\n{failure.log}".rstrip())
        self.failure = failure
