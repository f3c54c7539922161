"""The contract of every runner: the right answer, and a clear end of every failure."""

import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import psutil
import pytest
from onnx import TensorProto, helper, numpy_helper

from paretune.runners.failure import Failure, FailureKind
from paretune.runners.measure.launch_statistics import summarize
from paretune.runners.measure.protocol import Timing, time_model
from paretune.runners.runtimes.interpreter import interpreter
from paretune.runners.runtimes.launch import Launch
from paretune.runners.runtimes.launched.pipeline import save_requests
from paretune.runners.runtimes.lease import CPU, lease
from paretune.runners.runtimes.process_runner import ProcessRunner
from paretune.runners.runtimes.registry import RUNTIMES
from paretune.runners.runtimes.runner import Description, PipelineFiles, Prediction, Samples
from paretune.runners.runtimes.serving.served import ServeSettings, ServingLaunch
from paretune.runners.runtimes.settings import LoadSettings, MeasurementSettings
from paretune.runners.workload.outputs import whole_outputs
from paretune.spaces import RunSpec

QUICK = MeasurementSettings(
    launches=2,
    max_launches=2,
    extra_launches=0,
    warmup_seconds=0.05,
    min_seconds=0.02,
    idle_wait_s=0.0,
    timeout_s=60.0,
)
SAMPLES = 10
OPENVINO = ["onnxruntime-openvino==1.24.1", "numpy==2.4.6"]


@dataclass(frozen=True)
class Bench:
    """A runner, and a model that doubles eight numbers."""

    runner: ProcessRunner
    run: RunSpec
    model: Path
    samples: Samples
    folder: Path

    def with_pipeline(self, code: str) -> Samples:
        """Surround the model with post-processing that does something."""
        file, requests = self.folder / "pipeline.py", self.folder / "requests.npz"
        file.write_text(
            f"import ctypes, os, time\ndef postprocess(outputs):\n    {code}\n", "utf-8"
        )
        save_requests(requests, np.load(self.samples.inputs[0]))
        return replace(self.samples, pipeline=PipelineFiles(file, requests))

    def launch(
        self, samples: Samples | None = None, settings: MeasurementSettings = QUICK
    ) -> Launch | Failure:
        with lease(f"test-{os.getpid()}") as held:
            return self.runner.launch(
                self.model, self.run, samples or self.samples, self.folder, settings, held
            )


@pytest.fixture(
    params=[
        "onnxruntime/CPUExecutionProvider",
        "onnxruntime/CUDAExecutionProvider",
        "openvino/CPU",
        "pytorch/eager-cpu",
        "pytorch/eager-cuda",
        pytest.param("pytorch/compile-cpu", marks=pytest.mark.slow),
        pytest.param("pytorch/compile-cuda", marks=pytest.mark.slow),
        pytest.param("ort-openvino/OpenVINOExecutionProvider", marks=pytest.mark.slow),
    ]
)
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    name, provider = request.param.split("/")
    runner, described = described_runner(name)
    if provider not in described.available:
        pytest.skip(f"{name} finds no {provider} here; it has {', '.join(described.available)}")
    inputs = tmp_path / "inputs.npy"
    np.save(inputs, np.random.default_rng(0).random((SAMPLES, 8), dtype=np.float32))
    model = double(tmp_path / f"double.{runner.model_format}")
    yield Bench(runner, RunSpec(name, provider, 4, 1), model, Samples([inputs]), tmp_path)
    assert [p.pid for p in psutil.Process().children() if "launched" in " ".join(p.cmdline())] == []


@cache
def described_runner(name: str) -> tuple[ProcessRunner, Description]:
    """Return a runner and its description, requested once: PyTorch takes seconds for it."""
    if name == "ort-openvino":
        runner = RUNTIMES.get("onnxruntime").make_runner(name, interpreter(OPENVINO))
    else:
        runner = RUNTIMES.get(name).make_runner(name)
    with tempfile.TemporaryDirectory() as folder:
        described = runner.describe(Path(folder))
    assert isinstance(described, Description), described
    return runner, described


def double(path: Path) -> Path:
    """Write a model that doubles its input of eight numbers."""
    if path.suffix == ".pt2":
        import torch

        layer = torch.nn.Linear(8, 8, bias=False).eval()
        torch.nn.init.eye_(layer.weight).data.mul_(2)
        dynamic = ({0: torch.export.Dim("batch")},)
        program = torch.export.export(layer, (torch.ones(2, 8),), dynamic_shapes=dynamic)
        torch.export.save(program, path)
        return path
    weight = numpy_helper.from_array(2 * np.eye(8, dtype=np.float32), "weight")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["input", "weight"], ["output"])],
        "double",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 8])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["batch", 8])],
        [weight],
    )
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), path)
    return path


def test_right_answers_with_proof_of_where(bench: Bench) -> None:
    result = bench.runner.predict(bench.model, bench.run, bench.samples, bench.folder, QUICK)
    assert isinstance(result, Prediction), result
    expected = 2 * np.load(bench.samples.inputs[0])
    np.testing.assert_allclose(whole_outputs(result.outputs)[0], expected, rtol=1e-5)
    assert set(result.providers) == {bench.run.execution_provider}
    share = result.providers[bench.run.execution_provider]
    assert (share.node_share, share.time_share) == (1.0, 1.0)
    assert share.nodes >= 1


def test_a_measurement_has_times_memory_and_processor_time(bench: Bench) -> None:
    enough = QUICK.claiming(["latency_p99_ms"])
    timing = time_model(bench.runner, bench.model, bench.run, bench.samples, bench.folder, enough)
    assert isinstance(timing, Timing), timing
    assert len(timing.launches) == 2
    for launch in timing.launches:
        assert len(launch.latency_ms) >= enough.min_iterations
        assert min(launch.latency_ms) > 0
        assert 1e6 < launch.peak_memory_bytes < 1e10
        assert launch.cpu_time_ms > 0 and launch.canary_ms > 0
        assert launch.session_creation_ms > 0 and launch.first_inference_ms > 0
    statistics = summarize(timing.launches, bench.run.batch_size)
    order = [statistics[f"latency_p{q}_ms"].value for q in (50, 90, 95, 99)]
    assert order == sorted(order)
    assert timing.cost.timed_s > 0 and timing.cost.starting_s > 0


def test_the_pipeline_is_timed_apart_and_together(bench: Bench) -> None:
    launch = bench.launch(bench.with_pipeline("time.sleep(0.002)"))
    assert isinstance(launch, Launch), launch
    assert launch.end_to_end is not None
    assert min(launch.end_to_end.postprocess_ms) >= 2.0
    assert min(launch.end_to_end.end_to_end_ms) >= 2.0
    # Inference alone does not hold the pipeline's time.
    assert np.median(launch.latency_ms) < np.median(launch.end_to_end.postprocess_ms)


@pytest.mark.parametrize(
    "load", [LoadSettings("server", 200.0, 0.3), LoadSettings("single_stream", None, 0.3)]
)
def test_offered_load_is_measured(bench: Bench, load: LoadSettings) -> None:
    launch = bench.launch(settings=replace(QUICK, load=load))
    if isinstance(launch, Failure) and "mlcommons-loadgen" in launch.message:
        pytest.skip(f"LoadGen is not in this interpreter: {bench.runner.python}")
    assert isinstance(launch, Launch), launch
    assert launch.load is not None
    assert launch.load["queries"] > 20
    assert 0 < launch.load["p50_ms"] <= launch.load["p99_ms"]


def test_instances_are_timed_together(bench: Bench) -> None:
    together = replace(bench, run=bench.run.with_instances(2)).launch()
    if bench.runner.device(bench.run) != CPU:
        assert isinstance(together, Failure) and "on the processor only" in together.message
        return
    alone = bench.launch()
    assert isinstance(together, Launch) and isinstance(alone, Launch), together
    assert (together.instances, alone.instances) == (2, 1)
    assert len(together.latency_ms) >= QUICK.min_iterations
    found = summarize([together], bench.run.batch_size)["throughput_samples_per_s"].value
    mean_ms = float(np.mean(together.latency_ms))
    assert found == pytest.approx(2 * bench.run.batch_size * 1e3 / mean_ms)


def test_every_request_of_a_load_is_answered(bench: Bench) -> None:
    if bench.runner.device(bench.run) != CPU:
        pytest.skip(f"instances serve on the processor only, and this is {bench.run.target}")
    # Pauses of 20 ms, in which queued requests are answered, and eight requests at a time.
    times_s = np.sort(np.concatenate([np.arange(20) * 0.02, *[np.arange(8) * 0.05] * 8]))
    settings = ServeSettings(max_batch=4, queue_delay_ms=1.0, warmup_seconds=0.05)
    with lease(f"test-{os.getpid()}") as held:
        launch = bench.runner.serve(
            bench.model,
            bench.run.with_instances(2),
            bench.samples,
            bench.folder,
            [times_s, times_s[:1]],
            settings,
            held,
        )
    assert isinstance(launch, ServingLaunch), launch
    whole, single = launch.loads
    assert launch.start_ms > 0 and launch.peak_memory_bytes > 0
    assert len(whole.latency_ms) == len(times_s) == whole.call_sizes.sum()
    assert whole.call_sizes.max() == 4 and whole.unanswered == 0
    assert np.all(whole.latency_ms > whole.waiting_ms) and np.all(whole.waiting_ms >= 0)
    # A lone request waits for the whole queue delay, because no other arrives.
    assert single.call_sizes.tolist() == [1] and single.waiting_ms[0] >= settings.queue_delay_ms


def test_a_crash_is_a_value(bench: Bench) -> None:
    failure = bench.launch(bench.with_pipeline("ctypes.string_at(0)"))
    assert isinstance(failure, Failure)
    assert failure.kind is FailureKind.CRASH and "SIGSEGV" in failure.message


def test_a_hang_ends_at_the_deadline(bench: Bench) -> None:
    samples = bench.with_pipeline("time.sleep(3600)")
    failure = bench.launch(samples, replace(QUICK, timeout_s=4.0))
    assert isinstance(failure, Failure)
    assert failure.kind is FailureKind.TIMEOUT and "4 s" in failure.message


def test_more_memory_than_allowed(bench: Bench) -> None:
    samples = bench.with_pipeline("return bytearray(8 * 2**30)")
    failure = bench.launch(samples, replace(QUICK, memory_limit_bytes=4 * 2**30))
    assert isinstance(failure, Failure)
    assert failure.kind is FailureKind.OUT_OF_MEMORY


def test_an_exit_in_the_middle_is_a_value(bench: Bench) -> None:
    for code in (0, 3):
        failure = bench.launch(bench.with_pipeline(f"os._exit({code})"))
        assert isinstance(failure, Failure)
        assert failure.kind is FailureKind.CRASH and f"exit code {code}" in failure.message


def test_an_error_in_the_pipeline_names_its_line(bench: Bench) -> None:
    failure = bench.launch(bench.with_pipeline("raise ValueError('no such label')"))
    assert isinstance(failure, Failure)
    assert failure.kind is FailureKind.INVALID
    assert "line 3 (raise ValueError('no such label'))" in failure.message


def test_a_provider_that_is_not_there(bench: Bench) -> None:
    elsewhere = replace(bench, run=replace(bench.run, execution_provider="NoSuchProvider"))
    failure = elsewhere.launch()
    assert isinstance(failure, Failure) and failure.kind is FailureKind.UNSUPPORTED
    assert "NoSuchProvider" in failure.message and "it has" in failure.message


@pytest.mark.parametrize("content", [b"", b"not a model", None])
def test_a_bad_file(bench: Bench, content: bytes | None) -> None:
    whole = bench.model.read_bytes()
    bench.model.write_bytes(whole[: len(whole) // 2] if content is None else content)
    failure = bench.runner.predict(bench.model, bench.run, bench.samples, bench.folder, QUICK)
    assert isinstance(failure, Failure)
    assert failure.kind in (FailureKind.INVALID, FailureKind.UNSUPPORTED)
    assert "cannot" in failure.message


def test_inputs_that_do_not_fit(bench: Bench) -> None:
    np.save(bench.folder / "wide.npy", np.zeros((4, 9), np.float32))
    failure = bench.launch(Samples([bench.folder / "wide.npy"]))
    assert isinstance(failure, Failure) and failure.kind is FailureKind.UNSUPPORTED
    assert "cannot run the model" in failure.message
    failure = bench.launch(Samples([*bench.samples.inputs, *bench.samples.inputs]))
    assert (
        isinstance(failure, Failure) and "takes" in failure.message
    ) or "inputs" in failure.message


def test_profiles_and_comparisons_come_from_the_same_runtime(bench: Bench) -> None:
    with lease(f"test-{os.getpid()}") as held:
        nodes = bench.runner.profile(
            bench.model, bench.run, bench.samples, bench.folder, calls=3, lease=held
        )
        assert isinstance(nodes, list), nodes
        assert {node["provider"] for node in nodes} == {bench.run.execution_provider}
        ratios = bench.runner.compare(
            (bench.model, bench.model),
            bench.run,
            bench.samples,
            bench.folder,
            seconds=0.1,
            lease=held,
        )
    assert isinstance(ratios, list), ratios
    assert 0.5 < np.median(ratios) < 2
