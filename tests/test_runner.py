"""The ONNX Runtime runner and the child processes it works through, for real."""

import signal
import time
from pathlib import Path

import numpy as np
import onnx
import psutil
import pytest
from onnx import TensorProto, helper, numpy_helper

from runners.child import run_job
from runners.devices import devices
from runners.failure import Failure, FailureKind
from runners.measurement import summarize
from runners.onnxruntime_runner import OnnxRuntimeRunner
from runners.protocol import Timing, time_model
from runners.runner import Prediction
from runners.settings import MeasurementSettings
from spaces import RunSpec

CPU = RunSpec("onnxruntime", "CPUExecutionProvider", 4, 1)
QUICK = MeasurementSettings(launches=2, max_launches=2, warmup_seconds=0.05, min_seconds=0.02)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A matrix that doubles its input of eight numbers."""
    weight = numpy_helper.from_array(2 * np.eye(8, dtype=np.float32), "weight")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["input", "weight"], ["output"])],
        "double",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 8])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["batch", 8])],
        [weight],
    )
    path = tmp_path / "double.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)
    return path


@pytest.fixture
def inputs(tmp_path: Path, rng: np.random.Generator) -> Path:
    path = tmp_path / "inputs.npy"
    np.save(path, rng.random((10, 8), dtype=np.float32))
    return path


def test_right_answers_on_the_provider_asked_for(model: Path, inputs: Path, tmp_path: Path) -> None:
    result = OnnxRuntimeRunner().predict(model, CPU, [inputs], tmp_path)
    assert isinstance(result, Prediction)
    np.testing.assert_allclose(np.load(result.outputs), 2 * np.load(inputs), rtol=1e-6)
    assert set(result.nodes_by_provider) == {"CPUExecutionProvider"}


def test_launches_are_timed_in_processes_of_their_own(
    model: Path, inputs: Path, tmp_path: Path
) -> None:
    result = time_model(OnnxRuntimeRunner(), model, CPU, [inputs], tmp_path, QUICK)
    assert isinstance(result, Timing)
    assert len(result.launches) == 2
    for launch in result.launches:
        assert len(launch.latency_ms) >= QUICK.min_iterations
        assert min(launch.latency_ms) > 0
        assert launch.warmup_iterations > 0
        assert 1e6 < launch.peak_memory_bytes < 1e9
    statistics = summarize(result.launches, CPU.batch_size)
    order = [statistics[f"latency_p{q}_ms"].value for q in (50, 90, 95, 99)]
    assert order == sorted(order)


def test_a_provider_that_is_not_there(model: Path, inputs: Path, tmp_path: Path) -> None:
    run = RunSpec("onnxruntime", "NoSuchExecutionProvider", 1, 1)
    failure = time_model(OnnxRuntimeRunner(), model, run, [inputs], tmp_path, QUICK)
    assert isinstance(failure, Failure) and failure.kind is FailureKind.UNSUPPORTED
    assert "has no NoSuchExecutionProvider; it has" in failure.message


@pytest.mark.parametrize("content", [b"", b"not a model", None])
def test_a_bad_file(content: bytes | None, model: Path, inputs: Path, tmp_path: Path) -> None:
    whole = model.read_bytes()
    model.write_bytes(whole[: len(whole) // 2] if content is None else content)
    failure = OnnxRuntimeRunner().predict(model, CPU, [inputs], tmp_path)
    assert isinstance(failure, Failure)
    assert failure.kind in (FailureKind.INVALID, FailureKind.UNSUPPORTED)
    assert "cannot load the model" in failure.message


def test_inputs_that_do_not_fit(model: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "wide.npy", np.zeros((4, 9), np.float32))
    failure = time_model(OnnxRuntimeRunner(), model, CPU, [tmp_path / "wide.npy"], tmp_path, QUICK)
    assert isinstance(failure, Failure) and failure.kind is FailureKind.UNSUPPORTED
    assert "cannot run the model" in failure.message


def run_script(tmp_path: Path, code: str, timeout_s: float = 20) -> Failure:
    script = tmp_path / "script.py"
    script.write_text(f"import os, signal, subprocess, sys, time\n{code}\n", "utf-8")
    result = run_job(script, {}, tmp_path, stage="measure", timeout_s=timeout_s)
    assert isinstance(result, Failure)
    return result


def test_a_crash_is_a_value(tmp_path: Path) -> None:
    failure = run_script(tmp_path, "print('last words', flush=True); os.kill(os.getpid(), 11)")
    assert failure.kind is FailureKind.CRASH
    assert signal.Signals(11).name in failure.message
    assert "last words" in failure.log


def test_an_exit_in_the_middle_is_a_value(tmp_path: Path) -> None:
    failure = run_script(tmp_path, "os._exit(3)")
    assert failure.kind is FailureKind.CRASH and "exit code 3" in failure.message
    assert run_script(tmp_path, "os._exit(0)").kind is FailureKind.CRASH


def test_being_killed_is_out_of_memory(tmp_path: Path) -> None:
    failure = run_script(tmp_path, "os.kill(os.getpid(), 9)")
    assert failure.kind is FailureKind.OUT_OF_MEMORY


def test_a_hang_ends_at_the_deadline_with_nothing_left_running(tmp_path: Path) -> None:
    code = (
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "open(sys.argv[1] + '.pids', 'w').write(f'{os.getpid()} {child.pid}')\n"
        "time.sleep(600)"
    )
    failure = run_script(tmp_path, code, timeout_s=3)
    assert failure.kind is FailureKind.TIMEOUT
    pids = [int(pid) for pid in (tmp_path / "job.json.pids").read_text().split()]
    for _ in range(50):
        alive = [
            pid
            for pid in pids
            if psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
        ]
        if not alive:
            break
        time.sleep(0.1)
    assert alive == []


def test_devices_are_tried_and_say_why_not() -> None:
    found = {device.execution_provider: device for device in devices()}
    assert found["CPUExecutionProvider"].works
    assert all(device.detail for device in found.values())
    assert not found["CoreMLExecutionProvider"].works
