"""ONNX Runtime: no fall-back, proof from the launch itself, options of cards, calls with buffers.

What needs a card is in ``test_cuda.py``.
"""

import ctypes
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper
from test_runner_contract import QUICK, double

from paretune.runners.failure import Failure
from paretune.runners.measure.evaluator import Evaluator
from paretune.runners.measure.judged import Judged
from paretune.runners.measure.stored_samples import StoredSamples
from paretune.runners.runtimes.launch import Launch
from paretune.runners.runtimes.launched.cuda import libraries, runtime
from paretune.runners.runtimes.launched.cuda.bound_session import BoundSession, output_shape
from paretune.runners.runtimes.launched.cuda.runtime import CudaRuntime
from paretune.runners.runtimes.launched.onnxruntime_model import OnnxRuntimeModel
from paretune.runners.runtimes.launched.refusal import RefusedError
from paretune.runners.runtimes.launched.samples import MOST_FEEDS
from paretune.runners.runtimes.lease import lease
from paretune.runners.runtimes.onnxruntime_runner import OnnxRuntimeRunner
from paretune.runners.runtimes.runner import Samples
from paretune.runners.runtimes.settings import MeasurementSettings
from paretune.runners.runtimes.tensorrt_provider import (
    batch_dimensions,
    precisions,
    tensorrt_options,
)
from paretune.runners.store.artifact_store import ArtifactStore
from paretune.spaces import RunSpec

CPU = RunSpec("onnxruntime", "CPUExecutionProvider", 4, 1)
CUDA = replace(CPU, execution_provider="CUDAExecutionProvider")
TENSORRT = replace(CPU, execution_provider="TensorrtExecutionProvider")
OPSETS = [helper.make_opsetid("", 17)]


def session_job(model: Path, folder: Path, **changes: Any) -> dict[str, Any]:
    job = {
        "model": str(model),
        "execution_provider": "CPUExecutionProvider",
        "options": {},
        "libraries": {},
        "intra_op_threads": 1,
        "graph_optimization_level": 99,
        "folder": str(folder),
        "inputs": [{"name": "input", "path": "", "batch_axis": 0, "constant": None}],
    }
    return job | changes


def with_free_output(path: Path) -> Path:
    """Write a model with an output as large as its input, and one whose size the data decide."""
    nodes = [
        helper.make_node("Add", ["x", "x"], ["y"], name="add"),
        helper.make_node("NonZero", ["y"], ["where"], name="nonzero"),
    ]
    graph = helper.make_graph(
        nodes,
        "free",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 8])],
        [
            helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 8]),
            helper.make_tensor_value_info("where", TensorProto.INT64, [2, "found"]),
        ],
    )
    onnx.save(helper.make_model(graph, opset_imports=OPSETS, ir_version=8), path)
    return path


class Lost:
    """A session whose provider fails in the middle: the error is ONNX Runtime's own."""

    def __init__(self, session: Any, calls: int) -> None:
        self._session, self._calls = session, calls

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def run(self, *arguments: Any) -> Any:
        self._calls -= 1
        if self._calls < 0:
            raise ort.capi.onnxruntime_pybind11_state.EPFail("the device stopped in node Conv_7")
        return self._session.run(*arguments)


def test_a_provider_that_fails_in_the_middle_is_not_replaced_by_the_cpu(tmp_path: Path) -> None:
    """By default, Python's session would go on with the CPU, without an error."""
    path = double(tmp_path / "double.onnx")
    feed = {"input": np.ones((2, 8), np.float32)}
    usual = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    usual._sess = Lost(usual._sess, 1)
    for _ in range(3):
        usual.run(None, feed)  # the error is gone

    model = OnnxRuntimeModel(session_job(path, tmp_path))
    model.session._sess = Lost(model.session._sess, 1)
    model(feed)
    for _ in range(2):
        with pytest.raises(Exception, match="the device stopped in node Conv_7"):
            model(feed)


def test_a_session_that_changed_its_provider_is_refused_after_timing(tmp_path: Path) -> None:
    model = OnnxRuntimeModel(session_job(double(tmp_path / "double.onnx"), tmp_path))
    assert model.proof()["registered"][0] == "CPUExecutionProvider"
    model.provider = "CUDAExecutionProvider"
    with pytest.raises(RefusedError, match="changed to CPUExecutionProvider meanwhile"):
        model.proof()


def test_a_launch_proves_itself_what_it_ran_on(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.ones((4, 8), np.float32))
    model, samples = double(tmp_path / "double.onnx"), Samples([tmp_path / "x.npy"])
    with lease(f"test-{os.getpid()}") as held:
        launch = OnnxRuntimeRunner().launch(model, CPU, samples, tmp_path, QUICK, held)
    assert isinstance(launch, Launch), launch
    assert launch.proof is not None
    assert launch.proof.registered == ("CPUExecutionProvider",)
    assert launch.proof.nodes == {"CPUExecutionProvider": 1} and launch.proof.elsewhere == ()
    assert launch.device_latency_ms is None


def test_outputs_have_a_place_if_their_shape_follows_from_the_inputs() -> None:
    sizes = {"batch": 4, "length": 16}
    assert output_shape(["batch", 8, "length"], sizes) == [4, 8, 16]
    assert output_shape([], sizes) is None
    assert output_shape([2, "found"], sizes) is None
    assert output_shape(["batch", None], sizes) is None


class SimulatedCudart:
    """A simulated libcudart: its page-locked memory is ordinary, its cards' too."""

    def __init__(self, error: int = 0) -> None:
        self.kept: dict[int, Any] = {}

        def alloc(address: Any, size: int, flags: int) -> int:
            memory = ctypes.create_string_buffer(size)
            address._obj.value = ctypes.addressof(memory)
            self.kept[address._obj.value] = memory
            return error

        def copy(target: int, source: int, size: int, kind: int, stream: int) -> int:
            self.copies.append((kind, stream))
            ctypes.memmove(target, source, size)
            return 0

        def make_stream(address: Any, flags: int) -> int:
            address._obj.value = 7
            return error

        def synchronize(stream: int) -> int:
            return 0

        self.copies: list[tuple[int, int]] = []
        self.cudaHostAlloc, self.cudaMemcpyAsync = alloc, copy
        self.cudaStreamCreateWithFlags, self.cudaStreamSynchronize = make_stream, synchronize
        self.cudaFreeHost = lambda address: self.kept.pop(address.value) and 0
        self.cudaSetDevice = self.cudaFree = lambda _: error
        self.cudaGetErrorString = lambda number: b"out of memory"


def simulated(monkeypatch: pytest.MonkeyPatch, error: int = 0) -> tuple[CudaRuntime, Any]:
    library = SimulatedCudart(error)
    monkeypatch.setattr(runtime.ctypes, "CDLL", lambda name: library)
    return CudaRuntime(0, "13"), library


@pytest.mark.parametrize("stream", [7, 0, None])
def test_calls_with_buffers_answer_like_calls_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stream: int | None
) -> None:
    """The calls of a card, with a simulated libcudart and buffers in the host's memory."""
    path = with_free_output(tmp_path / "free.onnx")
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    cudart, library = simulated(monkeypatch)
    if stream:
        cudart.make_stream()
    bound = BoundSession(ort, session, ("cpu", 0), None if stream is None else cudart)
    rng = np.random.default_rng(0)
    for size in (4, 2, 4):
        data = [{"x": np.maximum(rng.random((size, 8), "f") - 0.5, 0)} for _ in range(MOST_FEEDS)]
        feeds = [bound.stage(feed) for feed in data]
        for given, feed in zip(data, feeds, strict=True):
            expected = session.run(None, given)
            for found, wanted in zip(bound(feed), expected, strict=True):
                np.testing.assert_array_equal(found, wanted)
            call = bound.resident(feed)
            call()
            call()
    assert bound.host_memory == (
        "pageable: libcudart cannot be loaded" if stream is None else "page-locked"
    )
    # Inputs are copied in the stream of the session, if there is one.
    assert set(library.copies) == {7: {(1, 7), (2, 7)}, 0: {(2, 0)}, None: set()}[stream]


def test_page_locked_memory_is_given_back_and_its_lack_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cudart, library = simulated(monkeypatch)
    array = cudart.array((2, 3), np.float16)
    array[...] = 1.5
    assert array.shape == (2, 3) and len(library.kept) == 1
    view = array[0]
    del array
    assert len(library.kept) == 1
    del view
    assert library.kept == {}
    cudart, _ = simulated(monkeypatch, error=2)
    assert cudart.array((2, 3), np.float32).shape == (2, 3)
    assert cudart.why_pageable == "out of memory (CUDA error 2)"
    with pytest.raises(RefusedError, match="CUDA cannot use card 0: out of memory"):
        cudart.open()


def test_fp32_on_a_card_is_fp32_unless_the_study_asks_for_tf32() -> None:
    assert OnnxRuntimeRunner().options(CPU) == {}
    assert OnnxRuntimeRunner().options(CUDA)["use_tf32"] == "0"
    asked = {"CUDAExecutionProvider": {"use_tf32": "1", "device_id": "1"}}
    runner = OnnxRuntimeRunner(provider_options=asked)
    assert runner.options(CUDA)["use_tf32"] == "1" and runner.options(CUDA)["device_id"] == "1"
    assert runner.options(CUDA)["cudnn_conv_algo_search"] == "EXHAUSTIVE"


def typed(path: Path, data_type: int, quantized: bool = False) -> Path:
    weight = helper.make_tensor("weight", data_type, [2], [1.0, 2.0])
    scale = numpy_helper.from_array(np.float32(0.1), "scale")
    nodes = [helper.make_node("Cast", ["x"], ["y"], to=data_type)]
    if quantized:
        nodes = [helper.make_node("QuantizeLinear", ["x", "scale"], ["y"])]
    output = TensorProto.UINT8 if quantized else data_type
    graph = helper.make_graph(
        nodes,
        "typed",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 2])],
        [helper.make_tensor_value_info("y", output, ["batch", 2])],
        [weight, scale],
    )
    onnx.save(helper.make_model(graph, opset_imports=OPSETS, ir_version=8), path)
    return path


def test_the_precision_of_tensorrts_provider_follows_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    files = {
        "fp32": typed(tmp_path / "fp32.onnx", TensorProto.FLOAT),
        "fp16": typed(tmp_path / "fp16.onnx", TensorProto.FLOAT16),
        "bf16": typed(tmp_path / "bf16.onnx", TensorProto.BFLOAT16),
        "int8": typed(tmp_path / "int8.onnx", TensorProto.FLOAT, quantized=True),
    }
    folders = set()
    for name, path in files.items():
        options = tensorrt_options(path)
        flags = {key for key, value in options.items() if "int8" in key or "16" in key}
        assert flags == ({f"trt_{name}_enable"} - {"trt_fp32_enable"})
        assert options["trt_engine_cache_enable"] == options["trt_timing_cache_enable"] == "1"
        folders.add(options["trt_engine_cache_path"])
    assert len(folders) == len(files)  # no artifact gets another one's engine
    assert precisions(tmp_path / "none.onnx") == set()


def test_a_tensorrt_job_has_a_fixed_batch_cuda_second_and_time_for_its_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    model = double(tmp_path / "double.onnx")
    asked = {"TensorrtExecutionProvider": {"trt_fp16_enable": "1", "device_id": "1"}}
    runner = OnnxRuntimeRunner(provider_options=asked)
    job = runner._job(model, TENSORRT, Samples([]))
    assert job["options"]["trt_fp16_enable"] == "1"  # what the study asks for is kept
    assert list(job["others"]) == ["CUDAExecutionProvider"]
    assert job["others"]["CUDAExecutionProvider"]["device_id"] == "1"
    assert job["others"]["CUDAExecutionProvider"]["use_tf32"] == "0"
    assert job["dimensions"] == {"batch": 4}
    assert Path(job["options"]["trt_engine_cache_path"]).is_dir()
    assert runner.record.start_s[TENSORRT.execution_provider] > MeasurementSettings().timeout_s
    assert "dimensions" not in runner._job(model, CUDA, Samples([]))


def test_a_fixed_batch_makes_shapes_static_for_a_cuda_graph(tmp_path: Path) -> None:
    path = double(tmp_path / "double.onnx")
    assert batch_dimensions(path, 4) == {"batch": 4}
    graphs = {"CUDAExecutionProvider": {"enable_cuda_graph": "1"}}
    job = OnnxRuntimeRunner(provider_options=graphs)._job(path, CUDA, Samples([]))
    assert job["dimensions"] == {"batch": 4}
    model = OnnxRuntimeModel(session_job(path, tmp_path, dimensions={"batch": 4}))
    assert model.has_fixed_batch
    assert not OnnxRuntimeModel(session_job(path, tmp_path)).has_fixed_batch


def test_a_cuda_graph_for_changing_shapes_is_refused(tmp_path: Path) -> None:
    """The option belongs to CUDA; the check does not, and the CPU's session ignores the option."""
    path = double(tmp_path / "double.onnx")
    with pytest.raises(RefusedError, match="the input input has the dimensions batch"):
        OnnxRuntimeModel(session_job(path, tmp_path, options={"enable_cuda_graph": "1"}))


def test_missing_libraries_are_named_with_what_brings_them() -> None:
    lost = "cannot open shared object file: No such file or directory"
    fixes = {
        "libcublasLt.so.13": "pip install 'onnxruntime-gpu[cuda,cudnn]'",
        "libcuda.so.1": "comes with the driver of an NVIDIA card",
        "libnvinfer.so.10": "pip install 'tensorrt-cu13>=10,<11'",
    }
    for library, fix in fixes.items():
        assert fix in libraries._with_fix(f"{library}: {lost}", "13")
    assert libraries._with_fix("a text of another kind", "13") == "a text of another kind"


def test_the_tiny_model_is_one(tmp_path: Path) -> None:
    onnx.checker.check_model(libraries._TINY_MODEL)
    session = ort.InferenceSession(libraries._TINY_MODEL, providers=["CPUExecutionProvider"])
    assert session.run(None, {"x": np.array([-2.0], np.float32)})[0] == 2.0


def test_a_provider_without_its_libraries_is_not_available_and_the_fix_is_told(
    tmp_path: Path,
) -> None:
    """With the package for cards on a machine without them, if its folder is given."""
    folder, python = os.environ.get("ONNXRUNTIME_GPU"), os.environ.get("ONNXRUNTIME_GPU_PYTHON")
    if not folder or Path("/dev/nvidiactl").exists():
        pytest.skip("ONNXRUNTIME_GPU names no folder with onnxruntime-gpu, or there is a card")
    script = (
        f"import sys; sys.path[:0] = [{folder!r}, {str(Path(libraries.__file__).parents[2])!r}]\n"
        "from launched.backend import describe\n"
        "import launched.onnxruntime_model as module\n"
        "print(module.describe({'libraries': {}}))\n"
    )
    done = subprocess.run(
        [python or sys.executable, "-c", script], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    found = eval(done.stdout)
    assert "CUDAExecutionProvider" not in found["available"]
    assert "pip install 'onnxruntime-gpu[cuda,cudnn]'" in found["missing"]["CUDAExecutionProvider"]


def test_options_decide_answers_so_they_are_part_of_the_qualitys_key(tmp_path: Path) -> None:
    """Two studies with one store: TF32, or TensorRT's fp16, must not get fp32's accuracy."""
    np.save(tmp_path / "x.npy", np.ones((4, 8), np.float32))
    store = ArtifactStore(tmp_path / "store")
    artifact = store.put(double(tmp_path / "double.onnx"))
    samples = StoredSamples("validation", (store.put(tmp_path / "x.npy"),))
    keys = []
    commit = store.commit
    store.commit = lambda record: keys.append(record.key) or commit(record)  # type: ignore
    for options in ({}, {"unused": "0"}, {"unused": "1"}):
        runner = OnnxRuntimeRunner(provider_options={"CPUExecutionProvider": options})
        evaluator = Evaluator(
            {"onnxruntime": runner},
            {"onnxruntime": {}},
            store,
            quality_metric="quality",
            fingerprint="workload",
            judging="workload",
            samples=samples,
            folder=tmp_path,
            judge=lambda *_: Judged({"accuracy": 1.0}),
            settings=QUICK,
        )
        for _ in range(2):
            assert not isinstance(evaluator._quality(artifact, CPU, samples), Failure)
    assert len(set(keys)) == len(keys) == 3


def test_a_providers_library_is_part_of_the_qualitys_key(tmp_path: Path) -> None:
    library, samples = tmp_path / "libmine.so", StoredSamples("validation", ("inputs",))
    keys = set()
    for content in ("1", "2"):
        library.write_text(content)
        runner = OnnxRuntimeRunner(provider_libraries={"mine": library})
        evaluator = Evaluator(
            {"onnxruntime": runner},
            {"onnxruntime": {}},
            ArtifactStore(tmp_path / "store"),
            quality_metric="quality",
            fingerprint="workload",
            judging="workload",
            samples=samples,
            folder=tmp_path,
            judge=lambda *_: Judged({"accuracy": 1.0}),
            settings=QUICK,
        )
        keys.add(evaluator.quality_key("artifact", CPU, samples))
    assert len(keys) == 2
