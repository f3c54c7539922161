import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

import psutil
import pytest
from conftest import IRIS, wait_until

from paretune.runners.execute.build_worker import BuildWorker
from paretune.runners.execute.job import Build
from paretune.runners.execute.worker_jobs import WorkerSettings
from paretune.runners.failure import Failure, FailureKind
from paretune.runners.store.artifact_store import ArtifactStore
from paretune.spaces import BuildSpec, Quantization, WorkloadError

BASELINE = BuildSpec("reference", 0.0, Quantization.FP32)
Make = Callable[..., BuildWorker]


@pytest.fixture
def make_worker(tmp_path: Path) -> Make:
    def make(
        name: str, timeout_s: float = 120.0, memory_limit_bytes: int | None = None
    ) -> BuildWorker:
        folder = tmp_path / name
        log = folder / "build.log"
        workload = f"{IRIS}:{name}"
        return BuildWorker(
            WorkerSettings(
                workload, IRIS.parent, folder, log, timeout_s, memory_limit_bytes=memory_limit_bytes
            )
        )

    return make


def test_a_failure_carries_what_was_printed(make_worker: Make) -> None:
    with make_worker("Broken") as worker:
        failure = worker.perform(Build(BASELINE)).value
    assert isinstance(failure, Failure)
    assert "checkpoint.pt is not there" in failure.message
    assert "Traceback" in failure.log and "train_reference" in failure.log


@pytest.mark.slow
def test_a_crash_names_its_stage_and_changed_data_is_refused(make_worker: Make) -> None:
    with make_worker("Unseeded") as worker:
        worker.describe()
        failure = worker.perform(Build(BASELINE)).value
        assert isinstance(failure, Failure)
        assert (failure.stage, failure.kind) == ("reference", FailureKind.CRASH)
        with pytest.raises(WorkloadError, match="seed what is random"):
            worker.perform(Build(BASELINE))


def test_a_build_ends_at_its_deadline(make_worker: Make) -> None:
    with make_worker("Iris", timeout_s=0.5) as worker:
        failure = worker.perform(Build(BASELINE)).value
    assert isinstance(failure, Failure)
    assert failure.kind is FailureKind.TIMEOUT
    assert "raise budget.build_timeout_s" in failure.message


@pytest.mark.slow
def test_a_process_that_died_between_two_jobs_is_started_again(make_worker: Make) -> None:
    with make_worker("Iris") as worker:
        before = worker.describe()
        for child in psutil.Process().children():
            if "LokyProcess" in " ".join(child.cmdline()):
                child.kill()
                child.wait(10)
        executor = worker._executor
        assert executor is not None
        wait_until(lambda: executor._flags.broken)  # loky has noticed
        assert worker.describe() == before


@pytest.mark.parametrize("name", ["Killed", "Greedy"])
def test_a_build_without_memory_is_reported_as_that(make_worker: Make, name: str) -> None:
    with make_worker(name, memory_limit_bytes=6 * 2**30) as worker:
        failure = worker.perform(Build(BASELINE)).value
    assert isinstance(failure, Failure)
    assert failure.kind is FailureKind.OUT_OF_MEMORY, failure
    assert not list((worker.settings.store / "scratch").iterdir())  # what it worked on is gone


class Turns(Future[str]):
    """A future that is looked at many times; each look takes a second of a worker's clock."""

    def __init__(self, worker: BuildWorker, waiting: int, working: int) -> None:
        super().__init__()
        self.now, self.waiting, self.left = 0.0, waiting, waiting + working
        worker._clock.seconds = lambda: self.now  # type: ignore[method-assign]
        self.file = worker.settings.waiting
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.file.touch()

    def result(self, timeout: float | None = None) -> str:
        if self.left == 0:
            return "done"
        self.now, self.left, self.waiting = self.now + 1, self.left - 1, self.waiting - 1
        if self.waiting == 0:
            self.file.unlink()
        raise TimeoutError


def test_to_wait_for_another_workers_stage_does_not_count(make_worker: Make) -> None:
    worker = make_worker("Iris", timeout_s=10.0)
    assert worker._result(Turns(worker, waiting=50, working=8)) == "done"
    with pytest.raises(TimeoutError):
        worker._result(Turns(worker, waiting=50, working=20))


def test_a_worker_tells_that_it_waits_for_a_stage(tmp_path: Path) -> None:
    waiting = tmp_path / "waiting"
    store = ArtifactStore(tmp_path / "store", waiting)
    with store.claim("a"):
        assert not waiting.exists()
        thread = threading.Thread(target=lambda: store.claim("a").__enter__(), daemon=True)
        thread.start()
        wait_until(waiting.exists)
    wait_until(lambda: not waiting.exists())


def test_suspended_workers_take_their_children_with_them(make_worker: Make) -> None:
    with make_worker("Iris") as worker:
        worker.describe()
        [process] = [psutil.Process(pid) for pid in worker._executor._processes]  # type: ignore
        worker._submit(subprocess.Popen, ["sleep", "60"]).exception()
        wait_until(lambda: process.children())
        family = [process, *process.children()]
        worker.suspend()
        wait_until(lambda: {each.status() for each in family} == {psutil.STATUS_STOPPED})
        worker.resume()
        wait_until(lambda: psutil.STATUS_STOPPED not in {each.status() for each in family})


def test_suspended_time_does_not_count(make_worker: Make) -> None:
    clock = make_worker("Iris")._clock
    clock.stop()
    stopped = clock.seconds()
    clock.stop()  # a second time changes nothing
    assert clock.seconds() == stopped and clock.is_stopped
    clock.go_on()
    assert clock.seconds() - stopped < 60 and not clock.is_stopped
