"""What runs in the process that is timed: which samples, how many calls, whose memory."""

import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper
from test_onnxruntime import session_job
from test_runner_contract import QUICK, double

from paretune.runners.child import run_job
from paretune.runners.failure import Failure, FailureKind
from paretune.runners.runtimes.launch import Launch
from paretune.runners.runtimes.launched import (
    counters,
    jobs,
    onnxruntime_model,
    samples,
    start,
    timing,
)
from paretune.runners.runtimes.launched.onnxruntime_model import OnnxRuntimeModel
from paretune.runners.runtimes.lease import lease
from paretune.runners.runtimes.onnxruntime_runner import OnnxRuntimeRunner
from paretune.runners.runtimes.runner import Samples
from paretune.spaces import RunSpec


@pytest.fixture(autouse=True)
def no_signs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing._Signs, "file", None)
    monkeypatch.setattr(timing._Signs, "due", 0.0)


def job(folder: Path, action: str, rows: int = 12, batch_size: int = 4) -> dict[str, Any]:
    inputs = folder / "x.npy"
    np.save(inputs, np.arange(rows * 8, dtype=np.float32).reshape(rows, 8))
    return session_job(double(folder / "double.onnx"), folder) | {
        "action": action,
        "backend": onnxruntime_model.__file__,
        "batch_size": batch_size,
        "inputs": [{"name": "input", "path": str(inputs), "batch_axis": 0, "constant": None}],
        "output_axes": None,
        "pipeline": None,
        "calls": 3,
    }


@pytest.mark.parametrize("action", ["predict", "profile"])
def test_a_process_loads_its_model_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, action: str
) -> None:
    made = []
    monkeypatch.setattr(
        ort,
        "InferenceSession",
        lambda *a, make=ort.InferenceSession, **k: made.append(a) or make(*a, **k),
    )
    nodes = jobs.run(job(tmp_path, action))["nodes"]  # type: ignore[arg-type]
    assert len(made) == 1
    assert [(node["operator"], node["provider"]) for node in nodes] == [
        ("MatMul", "CPUExecutionProvider")
    ]


class Profiled:
    """A session that tells what it ran, as ONNX Runtime writes it."""

    def __init__(self, folder: Path, runs: list[list[tuple[str, str, str, int]]]) -> None:
        self.path, self.calls = folder / "told.json", 0
        events: list[dict[str, Any]] = [{"cat": "Session", "name": "model_loading", "dur": 9}]
        for run in runs:
            events += [
                {
                    "name": f"{name}_kernel_time",
                    "dur": dur,
                    "args": {"provider": provider, "op_name": operator},
                }
                for name, operator, provider, dur in run
            ]
            events.append({"cat": "Session", "name": "model_run", "dur": 1})
        self.path.write_text(json.dumps(events), "utf-8")

    def run(self, *_: Any) -> list[Any]:
        self.calls += 1
        return []

    def end_profiling(self) -> str:
        return str(self.path)


def test_the_profile_leaves_out_the_cold_call_and_hides_no_node_behind_a_name(
    tmp_path: Path,
) -> None:
    here, there = "CPUExecutionProvider", "OtherExecutionProvider"
    model = OnnxRuntimeModel(job(tmp_path, "predict"))  # type: ignore[arg-type]
    cold, warm = [("a", "Conv", here, 90_000)], [("a", "Conv", here, 2000), ("a", "Conv", there, 1)]
    session = Profiled(tmp_path, [cold, warm, warm])
    model.session = session
    nodes = model.profile({}, 2)
    assert session.calls == 3
    assert [(n["provider"], n["ms_per_call"]) for n in nodes] == [(here, 2.0), (there, 0.001)]


def test_samples_are_drawn_over_the_whole_split() -> None:
    rows = np.concatenate(samples.batches(1000, 4))
    assert len(set(rows.tolist())) == 8 * 4
    assert rows.min() < 250 and rows.max() > 750
    assert (rows == np.concatenate(samples.batches(1000, 4))).all()  # the same for every model


def test_no_two_calls_in_a_row_see_the_same_batch() -> None:
    for count, size in ((12, 4), (8, 8), (3, 8), (2, 1), (9, 8)):
        found = samples.batches(count, size)
        assert len(found) >= 2 and all(len(rows) == size for rows in found)
        assert all((a != b).any() for a, b in pairwise(found)), (count, size)
    assert [rows.tolist() for rows in samples.batches(1, 2)] == [[0, 0]]


def test_a_slow_models_warm_up_can_be_steady(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(timing.time, "perf_counter", lambda: now[0])
    times = iter([900.0, 500.0, 501.0, 499.0])

    def once(_: int) -> float:
        now[0] += 0.5
        return next(times)

    assert timing.warm_up(once, 0.5) == {"iterations": 3, "steady": False}
    times = iter([500.0, 501.0, 499.0])
    assert timing.warm_up(once, 0.5) == {"iterations": 3, "steady": True}


def test_times_that_a_quota_stopped_are_read_in_either_unit(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text("nr_periods 101\nnr_throttled 91\nthrottled_time 6781296953\n", "utf-8")
    two.write_text("usage_usec 5\nnr_throttled 2\nthrottled_usec 250000\n", "utf-8")
    with counters.Counters("cpu", None, [str(one), str(two), str(tmp_path / "none")]) as counted:
        one.write_text("throttled_time 7781296953\n", "utf-8")
    assert counted.throttled_s == pytest.approx(1.0)


def wide(path: Path, width: int) -> Path:
    """Write a model that needs next to nothing for an input of many bytes."""
    first = numpy_helper.from_array(np.zeros(1, np.int64), "first")
    graph = helper.make_graph(
        [helper.make_node("Gather", ["x", "first"], ["y"], axis=1)],
        "wide",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", width])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 1])],
        [first],
    )
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return path


def launched(folder: Path, model: Path, inputs: Any, batch_size: int) -> Launch:
    np.save(folder / "x.npy", inputs)
    run = RunSpec("onnxruntime", "CPUExecutionProvider", batch_size, 1)
    with lease("cpu") as held:
        found = OnnxRuntimeRunner().launch(
            model, run, Samples([folder / "x.npy"]), folder, QUICK, held
        )
    assert isinstance(found, Launch), found
    return found


def test_memory_holds_one_request_and_no_more_of_our_samples(tmp_path: Path) -> None:
    width = 2**18  # a megabyte a sample
    model = wide(tmp_path / "wide.onnx", width)
    inputs = np.ones((64, width), np.float32)
    small = launched(tmp_path, model, inputs[:2, :], 1).peak_memory_bytes
    large = launched(tmp_path, model, inputs, 8).peak_memory_bytes
    assert large - small < 8 * 2**20 + 8 * 2**20  # one batch, and what an allocator keeps


def test_loading_a_model_is_no_import(tmp_path: Path) -> None:
    found = launched(tmp_path, double(tmp_path / "double.onnx"), np.ones((4, 8), np.float32), 1)
    code = (
        "import time; t = time.perf_counter(); import onnxruntime; print(time.perf_counter() - t)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.session_creation_ms < 1e3 * float(told.stdout) / 2


def test_the_scripts_folder_is_not_on_the_path(tmp_path: Path) -> None:
    """Without Python's -P, which interpreters before 3.11 do not know."""
    backend = tmp_path / "told.py"
    backend.write_text(
        "import sys\ndef describe(job):\n"
        "    return {'available': [], 'known': [], 'versions': {'path': '\\n'.join(sys.path)}}\n",
        "utf-8",
    )
    script = Path(start.__file__)
    found = run_job(
        script,
        {"action": "describe", "backend": str(backend), "cores": [], "memory_limit_bytes": 0},
        tmp_path,
        stage="describe",
        timeout_s=60,
    )
    assert isinstance(found, dict), found
    path = found["versions"]["path"].splitlines()
    assert str(script.parent) not in path and str(script.parents[1]) not in path


SIGNS = """
import pathlib, sys, time
alive = pathlib.Path(sys.argv[1]).with_name("alive")
for _ in range(int(sys.argv[2]) if len(sys.argv) > 2 else STEPS):
    time.sleep(0.5)
    alive.touch()
END
"""


def test_a_deadline_is_that_of_a_step_and_not_of_all_work(tmp_path: Path) -> None:
    """A split of any size may take its time, as long as its batches do not hang."""
    script = tmp_path / "script.py"

    def run(steps: int, end: str) -> Any:
        script.write_text(SIGNS.replace("STEPS", str(steps)).replace("END", end), "utf-8")
        return run_job(script, {}, tmp_path, stage="evaluate", timeout_s=2.0)

    assert run(10, "alive.with_name('result.json').write_text('{}')") == {}
    failure = run(3, "time.sleep(3600)")
    assert isinstance(failure, Failure) and failure.kind is FailureKind.TIMEOUT
    assert "the next call has not ended after 2 s" in failure.message
    assert "raise measurement.timeout_s" in failure.message


def test_every_batch_of_a_prediction_is_a_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = []
    monkeypatch.setattr(timing, "alive", lambda folder=None: told.append(folder))
    jobs.run(job(tmp_path, "predict", rows=40, batch_size=1))  # type: ignore[arg-type]
    assert len(told) >= 40
