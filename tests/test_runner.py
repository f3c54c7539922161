"""The child processes that runners work through, and failures only one runtime can have."""

import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import psutil
import pytest
from conftest import wait_until
from onnx import TensorProto, helper
from test_runner_contract import QUICK, double

from paretune.runners.child import run_job
from paretune.runners.failure import Failure, FailureKind
from paretune.runners.measure.campaign import Campaign, Entry, Launched, launch_once
from paretune.runners.runtimes.launch import Launch
from paretune.runners.runtimes.lease import lease, lease_path
from paretune.runners.runtimes.onnxruntime_runner import OnnxRuntimeRunner
from paretune.runners.runtimes.proof import prove
from paretune.runners.runtimes.runner import Samples
from paretune.runners.workload.outputs import whole_outputs
from paretune.spaces import GraphOptimization, RunSpec

CPU = RunSpec("onnxruntime", "CPUExecutionProvider", 1, 1)


def run_script(tmp_path: Path, code: str, timeout_s: float = 20) -> Failure:
    script = tmp_path / "script.py"
    script.write_text(f"import os, signal, subprocess, sys, time\n{code}\n", "utf-8")
    result = run_job(script, {}, tmp_path, stage="measure", timeout_s=timeout_s)
    assert isinstance(result, Failure)
    return result


def test_last_words_are_kept(tmp_path: Path) -> None:
    failure = run_script(tmp_path, "print('last words', flush=True); os.kill(os.getpid(), 11)")
    assert failure.kind is FailureKind.CRASH
    assert signal.Signals(11).name in failure.message
    assert "last words" in failure.log


CHILD = """
import os, sys, time
from paretune.runners.runtimes.launched.counters import die_with_parent
parent = os.getppid()
if sys.argv[1] == "late":
    print("ready", flush=True)
    while os.getppid() == parent:
        time.sleep(0.01)
die_with_parent(parent)
if sys.argv[1] == "early":  # later nobody reads it, and to be heard by nobody ends a process, too
    print("ready", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("asks", ["early", "late"])
def test_a_launch_ends_when_its_parent_is_killed(asks: str) -> None:
    code = f"""if True:
        import subprocess, sys
        command = [sys.executable, "-c", {CHILD!r}, {asks!r}]
        child = subprocess.Popen(command, stdout=subprocess.PIPE)
        child.stdout.readline()
        print(child.pid, flush=True)
        child.wait()
    """
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    parent.kill()
    parent.wait()
    with suppress(psutil.NoSuchProcess):
        wait_until(lambda: child.status() == psutil.STATUS_ZOMBIE, 20)


def test_a_crash_after_the_result_or_a_result_of_another_run_does_not_count(tmp_path: Path) -> None:
    write = "open(os.path.join(os.path.dirname(sys.argv[1]), 'result.json'), 'w').write('{}')"
    assert run_script(tmp_path, f"{write}; os.abort()").kind is FailureKind.CRASH
    (tmp_path / "result.json").write_text("{}", "utf-8")
    assert run_script(tmp_path, "").kind is FailureKind.CRASH


def test_a_launch_holds_the_lease_of_its_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PARETUNE_LEASES", str(tmp_path))
    script = tmp_path / "script.py"
    code = (
        "import json, os, pathlib, sys\n"
        "links = [os.path.realpath(f'/proc/self/fd/{fd}') for fd in os.listdir('/proc/self/fd')]\n"
        "pathlib.Path(sys.argv[1]).with_name('result.json').write_text(json.dumps(links))\n"
    )
    script.write_text(code, "utf-8")
    with lease("cpu") as held:
        found = run_job(script, {}, tmp_path, stage="measure", timeout_s=20, lease=held)
    assert str(lease_path("cpu").resolve()) in found


def test_being_killed_is_out_of_memory(tmp_path: Path) -> None:
    failure = run_script(tmp_path, "os.kill(os.getpid(), 9)")
    assert failure.kind is FailureKind.OUT_OF_MEMORY


def test_an_abort_for_want_of_memory_is_out_of_memory(tmp_path: Path) -> None:
    failure = run_script(tmp_path, "os.write(2, b'std::bad_alloc'); os.abort()")
    assert failure.kind is FailureKind.OUT_OF_MEMORY
    assert run_script(tmp_path, "os.abort()").kind is FailureKind.CRASH


def test_a_hang_ends_at_the_deadline_with_nothing_left_running(tmp_path: Path) -> None:
    code = (
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "open(sys.argv[1] + '.pids', 'w').write(f'{os.getpid()} {child.pid}')\n"
        "time.sleep(600)"
    )
    failure = run_script(tmp_path, code, timeout_s=3)
    assert failure.kind is FailureKind.TIMEOUT
    pids = [int(pid) for pid in (tmp_path / "job.json.pids").read_text().split()]
    for pid in pids:
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            wait_until(lambda: process.status() == psutil.STATUS_ZOMBIE, 5)  # noqa: B023


def counting_model(path: Path) -> Path:
    """Write a model that counts to the number it is given, one loop turn at a time."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["go_on"]),
            helper.make_node("Add", ["x", "one"], ["x_next"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("x", TensorProto.FLOAT, [1]),
        ],
        [
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("x_next", TensorProto.FLOAT, [1]),
        ],
        [helper.make_tensor("one", TensorProto.FLOAT, [1], [1.0])],
    )
    graph = helper.make_graph(
        [
            helper.make_node("Squeeze", ["turns"], ["trips"]),
            helper.make_node("Loop", ["trips", "yes", "zero"], ["count"], body=body),
        ],
        "count",
        [helper.make_tensor_value_info("turns", TensorProto.INT64, ["batch"])],
        [helper.make_tensor_value_info("count", TensorProto.FLOAT, [1])],
        [
            helper.make_tensor("yes", TensorProto.BOOL, [], [True]),
            helper.make_tensor("zero", TensorProto.FLOAT, [1], [0.0]),
        ],
    )
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), path)
    return path


def test_a_model_that_never_ends(tmp_path: Path) -> None:
    model = counting_model(tmp_path / "count.onnx")
    np.save(tmp_path / "turns.npy", np.array([2**62]))
    runner = OnnxRuntimeRunner(timeout_s=5)  # of a call
    failure = runner.predict(model, CPU, Samples([tmp_path / "turns.npy"]), tmp_path, QUICK)
    assert isinstance(failure, Failure) and failure.kind is FailureKind.TIMEOUT
    np.save(tmp_path / "turns.npy", np.array([3]))
    counted = runner.predict(model, CPU, Samples([tmp_path / "turns.npy"]), tmp_path, QUICK)
    assert not isinstance(counted, Failure), counted
    assert whole_outputs(counted.outputs)[0] == 3


def test_a_model_that_asks_for_more_memory_than_allowed(tmp_path: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("Expand", ["x", "shape"], ["y"])],
        "grow",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [helper.make_tensor("shape", TensorProto.INT64, [2], [2**34, 1])],
    )
    model = tmp_path / "grow.onnx"
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), model)
    np.save(tmp_path / "x.npy", np.ones(4, np.float32))
    failure = OnnxRuntimeRunner().predict(
        model, CPU, Samples([tmp_path / "x.npy"]), tmp_path, QUICK
    )
    assert isinstance(failure, Failure) and failure.kind is FailureKind.OUT_OF_MEMORY


def test_a_provider_library_that_cannot_be_loaded(tmp_path: Path) -> None:
    library = tmp_path / "libprovider.so"
    library.write_bytes(b"not a library")
    runner = OnnxRuntimeRunner(provider_libraries={"Mine": library})
    np.save(tmp_path / "x.npy", np.ones((4, 8), np.float32))
    model = double(tmp_path / "double.onnx")
    samples = Samples([tmp_path / "x.npy"])
    failure = runner.predict(model, CPU, samples, tmp_path, QUICK)
    assert isinstance(failure, Failure) and failure.kind is FailureKind.UNSUPPORTED
    assert str(library) in failure.message


def node(name: str, provider: str, ms_per_call: float) -> dict[str, object]:
    return {"node": name, "operator": "Conv", "provider": provider, "ms_per_call": ms_per_call}


def test_fallback_names_its_nodes_and_can_be_tolerated() -> None:
    nodes = [node("a", "Wanted", 9.0), node("b", "Other", 1.0)]
    failure = prove(nodes, "Wanted", tolerance=0.0)
    assert isinstance(failure, Failure) and failure.kind is FailureKind.UNSUPPORTED
    assert "1 of 2 nodes (10% of the time) ran elsewhere: b (Conv, Other)" in failure.message
    assert isinstance(prove(nodes, "Wanted", tolerance=0.05), Failure)
    shares = prove(nodes, "Wanted", tolerance=0.1)
    assert not isinstance(shares, Failure)
    assert (shares["Wanted"].node_share, shares["Wanted"].time_share) == (0.5, 0.9)
    assert isinstance(prove([node("b", "Other", 0.0)], "Wanted", 0.0), Failure)
    assert isinstance(prove([], "Wanted", 0.5), Failure)


def test_the_graph_is_optimized_as_far_as_asked(tmp_path: Path) -> None:
    """A Conv and its Relu are two nodes until they are fused, which `extended` is for."""
    weight = np.ones((4, 3, 3, 3), np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "weight"], ["convolved"]),
            helper.make_node("Relu", ["convolved"], ["y"]),
        ],
        "conv",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 4, 6, 6])],
        [onnx.numpy_helper.from_array(weight, "weight")],
    )
    model = tmp_path / "model.onnx"
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), model)
    np.save(tmp_path / "inputs.npy", np.ones((4, 3, 8, 8), np.float32))
    nodes = {}
    for level in GraphOptimization:
        run = replace(CPU, graph_optimization=level)
        found = OnnxRuntimeRunner().predict(
            model, run, Samples([tmp_path / "inputs.npy"]), tmp_path, QUICK
        )
        assert not isinstance(found, Failure), found
        nodes[level.value] = found.providers["CPUExecutionProvider"].nodes
    assert nodes["basic"] == 2 and nodes["extended"] == 1


class Uneven(OnnxRuntimeRunner):
    """ONNX Runtime on a machine that nothing disturbs, where one model gets slower and slower."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = 1

    def launch(self, model: Path, *arguments: Any, **options: Any) -> Launch | Failure:
        launch = super().launch(model, *arguments, **options)
        if isinstance(launch, Failure):
            return launch
        calm = replace(
            launch,
            cpu_share=1.0,
            involuntary_switches_per_iteration=0.0,
            canary_ms=1.0,
            waited_share=0.0,
            latency_ms=tuple(1.0 for _ in launch.latency_ms),  # whatever else runs here
        )
        if model.stem != "uneven":
            return calm
        self.factor *= 100
        return replace(calm, latency_ms=tuple(self.factor * ms for ms in calm.latency_ms))


def test_in_a_campaign_no_model_stops_before_the_others(tmp_path: Path) -> None:
    np.save(tmp_path / "inputs.npy", np.ones((4, 8), np.float32))
    entries = [Entry(str(double(tmp_path / f"{name}.onnx")), CPU) for name in ("even", "uneven")]
    settings = replace(QUICK, max_launches=3, p50_tolerance=5.0, p95_tolerance=5.0)
    samples = Samples([tmp_path / "inputs.npy"])
    runner = Uneven()
    campaign = Campaign({"onnxruntime": runner}, settings, entries)

    def launch(entry: Entry) -> Launched | Failure:
        return launch_once(runner, Path(entry.artifact), entry.run, samples, tmp_path, settings)

    settled = []
    while campaign.round(launch):
        settled.append([campaign.is_settled(entry) for entry in entries])
    assert settled[1] == [True, False]
    assert [len(entry.launches) for entry in entries] == [3, 3]


def test_a_process_that_compiles_has_its_deadline_from_its_first_call(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    begin = "import pathlib, sys, time\nfolder = pathlib.Path(sys.argv[1]).parent\n"

    def run(code: str) -> Any:
        script.write_text(begin + code, "utf-8")
        return run_job(script, {}, tmp_path, stage="measure", timeout_s=1.0, start_s=60.0)

    done = "(folder / 'result.json').write_text('{}')\n"
    assert run(f"time.sleep(2)\n{done}") == {}
    assert run(f"time.sleep(2)\n(folder / 'started').touch()\n{done}") == {}
    failure = run("(folder / 'started').touch()\ntime.sleep(3600)")
    assert isinstance(failure, Failure) and failure.kind is FailureKind.TIMEOUT
    assert "no result after 1 s; if it needs longer" in failure.message
