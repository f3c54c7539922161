"""Device leases, with real processes."""

import fcntl
import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import run_paretune, write_study
from onnx_models import by_hand

from paretune.runners.failure import Failure
from paretune.runners.measure.evaluator import Evaluator
from paretune.runners.measure.judged import Judged
from paretune.runners.measure.stored_samples import StoredSamples
from paretune.runners.runtimes.lease import CPU, lease, lease_path, waiting_until
from paretune.runners.runtimes.onnxruntime_runner import OnnxRuntimeRunner
from paretune.runners.runtimes.runner import Samples
from paretune.runners.runtimes.settings import MeasurementSettings
from paretune.runners.store.artifact_store import ArtifactStore
from paretune.spaces import DeviceBusyError, RunSpec

HOLD = (
    "import sys, time\n"
    "from paretune.runners.runtimes.lease import lease\n"
    "with lease(sys.argv[1]):\n"
    "    print(time.monotonic(), flush=True); time.sleep(float(sys.argv[2]))\n"
    "    print(time.monotonic(), flush=True)\n"
)
# Holds the lease, hands it to a child that prints its number and stays, and waits for it.
HOLD_WITH_CHILD = (
    "import subprocess, sys\n"
    "from paretune.runners.runtimes.lease import lease\n"
    "with lease(sys.argv[1]) as held:\n"
    "    code = 'import os, time; print(os.getpid(), flush=True); time.sleep(60)'\n"
    "    subprocess.Popen([sys.executable, '-c', code], pass_fds=held).wait()\n"
)


User = Callable[[], str]


@pytest.fixture
def other(tmp_path: Path) -> User:
    """Asks for the processor's lease as another user, and returns why it is not given."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    for each in (tmp_path, *tmp_path.parents[:-2]):
        each.chmod(each.stat().st_mode | 0o055)

    def ask() -> str:
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            try:
                with waiting_until(time.monotonic()), lease(CPU):
                    pass
            except BaseException as error:
                os.write(writer, f"{type(error).__name__}: {error}".encode())
            os._exit(0)
        os.close(writer)
        os.waitpid(child, 0)
        with os.fdopen(reader) as told:
            return told.read()

    return ask


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARETUNE_LEASES", str(tmp_path))


def start(code: str, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_two_holders_of_one_device_never_overlap() -> None:
    holders = [start(HOLD, "cpu", "0.3") for _ in range(4)]
    spans = [tuple(map(float, holder.communicate()[0].split())) for holder in holders]
    spans.sort()
    for (_, end), (begin, _) in itertools.pairwise(spans):
        assert end <= begin


def test_whoever_holds_another_device_holds_the_host() -> None:
    holders = [start(HOLD, device, "0.3") for device in ("cpu", "qnn:0", "gpu:0", "qnn:0")]
    spans = [tuple(map(float, holder.communicate()[0].split())) for holder in holders]
    spans.sort()
    for (_, end), (begin, _) in itertools.pairwise(spans):
        assert end <= begin
    assert lease_path("qnn:0") != lease_path("cpu")


def test_who_waits_for_a_device_does_not_hold_the_host_meanwhile(tmp_path: Path) -> None:
    with lease_path("qnn:0").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        asking = HOLD.replace("with", "print('asks', flush=True)\nwith", 1)
        waiting = start(asking, "qnn:0", "0")
        assert waiting.stdout is not None and waiting.stdout.readline() == "asks\n"
        until = time.monotonic() + 0.5  # meanwhile it asks every 0.02 s
        while time.monotonic() < until:
            with waiting_until(time.monotonic()), lease("cpu"):
                assert waiting.poll() is None
    waiting.communicate(timeout=20)
    assert waiting.returncode == 0


def test_an_orphan_of_a_killed_holder_still_holds_the_device() -> None:
    holder = start(HOLD_WITH_CHILD, "cpu")
    assert holder.stdout is not None
    orphan = int(holder.stdout.readline())
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    waiting = start(HOLD, "cpu", "0")
    with pytest.raises(subprocess.TimeoutExpired):
        waiting.wait(1.5)
    os.kill(orphan, signal.SIGKILL)
    waiting.communicate(timeout=10)
    assert waiting.returncode == 0


def test_a_killed_holder_without_children_lets_go() -> None:
    holder = start(HOLD, "cpu", "60")
    assert holder.stdout is not None
    holder.stdout.readline()
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    with waiting_until(time.monotonic()), lease("cpu"):  # there is nothing to wait for
        pass


def test_who_waits_for_a_device_gives_up_when_time_is_up() -> None:
    holder = start(HOLD, "cpu", "60")
    assert holder.stdout is not None
    holder.stdout.readline()
    for device in ("cpu", "qnn:0"):
        says = f"process {holder.pid} still builds or measures on device cpu"
        soon, busy = time.monotonic() + 0.1, pytest.raises(DeviceBusyError, match=says)
        with waiting_until(soon), busy, lease(device):
            pass
    holder.kill()
    holder.wait()
    with waiting_until(time.monotonic() - 1.0), lease("cpu"):  # it is free again
        pass


def test_a_prediction_holds_its_device(tmp_path: Path, rng: np.random.Generator) -> None:
    holder = start(HOLD, CPU, "60")
    assert holder.stdout is not None
    holder.stdout.readline()
    model = tmp_path / "model.onnx"
    np.save(tmp_path / "inputs.npy", by_hand(model, rng)["input"])
    samples = Samples([tmp_path / "inputs.npy"])
    run = RunSpec("onnxruntime", "CPUExecutionProvider", 1, 1)
    work = (model, run, samples, tmp_path, MeasurementSettings())
    with waiting_until(time.monotonic()), pytest.raises(DeviceBusyError):
        OnnxRuntimeRunner().predict(*work)
    holder.kill()
    holder.wait()
    assert not isinstance(OnnxRuntimeRunner().predict(*work), Failure)


def test_every_user_of_a_machine_can_take_a_lease(tmp_path: Path) -> None:
    """Also those whose umask leaves other users nothing, and after them all others."""
    before = os.umask(0o077)
    try:
        with lease("cpu"):
            pass
    finally:
        os.umask(before)
    path = lease_path("cpu")
    assert path.stat().st_mode & 0o777 == 0o666
    assert path.parent.stat().st_mode & 0o7777 == 0o1777


def test_a_lock_file_that_may_only_be_read_is_enough(other: User) -> None:
    """As earlier versions made them: 0644, of the first user."""
    path = lease_path("cpu")
    path.write_text("4711", "utf-8")
    path.chmod(0o644)
    assert other() == ""
    with lease("cpu"):
        assert "still builds or measures on device cpu" in other()


def test_a_lock_file_that_is_closed_to_others_is_named(other: User) -> None:
    path = lease_path("cpu")
    path.touch()
    path.chmod(0o600)
    told = other()
    assert told.startswith("DeviceBusyError: cannot tell whether the device cpu is in use")
    assert f"{path} belongs to another user" in told
    assert f"chmod 666 {path}" in told and "PARETUNE_LEASES" in told


@pytest.mark.slow
def test_a_search_does_not_wait_longer_than_its_hours(tmp_path: Path) -> None:
    holder = start(HOLD, CPU, "300")
    assert holder.stdout is not None
    holder.stdout.readline()
    done = run_paretune("search", write_study(tmp_path, tracking=False), "--hours", "0.0001")
    holder.kill()
    holder.wait()
    assert done.returncode == 1
    assert f"time is up: process {holder.pid} still builds or measures on device cpu" in done.stderr


def test_metrics_are_computed_under_the_lease(tmp_path: Path, rng: np.random.Generator) -> None:
    """They take cores from whoever measures there."""
    model = tmp_path / "model.onnx"
    np.save(tmp_path / "inputs.npy", by_hand(model, rng)["input"])
    store = ArtifactStore(tmp_path / "store")
    samples = StoredSamples("validation", (store.put(tmp_path / "inputs.npy"),))
    found = []

    def judge(*_: object) -> Judged:
        path = lease_path(CPU)
        done = subprocess.run(["flock", "--nonblock", path, "true"])
        found.append(done.returncode)
        return Judged({"quality": 1.0})

    evaluator = Evaluator(
        {"onnxruntime": OnnxRuntimeRunner()},
        {"onnxruntime": {}},
        store,
        quality_metric="quality",
        fingerprint="workload",
        samples=samples,
        folder=tmp_path,
        judging="judging",
        judge=judge,
        settings=MeasurementSettings(),
    )
    run = RunSpec("onnxruntime", "CPUExecutionProvider", 1, 1)
    scored = evaluator.scored(store.put(model), run, samples)
    assert not isinstance(scored, Failure), scored
    assert found == [1]
