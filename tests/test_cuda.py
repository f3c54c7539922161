"""ONNX Runtime on a real card: answers, proof, no fall-back. Skipped where CUDA does not run."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from test_onnxruntime import with_free_output
from test_runner_contract import QUICK, described_runner, double

from paretune.runners.failure import Failure, FailureKind
from paretune.runners.runtimes.launch import Launch
from paretune.runners.runtimes.lease import lease
from paretune.runners.runtimes.onnxruntime_runner import OnnxRuntimeRunner
from paretune.runners.runtimes.runner import Prediction, Samples
from paretune.spaces import RunSpec

CUDA = "CUDAExecutionProvider"
RUN = RunSpec("onnxruntime", CUDA, 4, 1)
FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64
node, info = helper.make_node, helper.make_tensor_value_info


@pytest.fixture(autouse=True)
def card() -> None:
    """Skip without a card that ONNX Runtime can use, with the reason."""
    _, described = described_runner("onnxruntime")
    if CUDA not in described.available:
        pytest.skip(f"no {CUDA}: {described.missing.get(CUDA, 'this onnxruntime has none')}")


def runner(**options: str) -> OnnxRuntimeRunner:
    """Return a runner in the interpreter of the described one, with options of CUDA's provider."""
    found, _ = described_runner("onnxruntime")
    return OnnxRuntimeRunner(python=found.python, provider_options={CUDA: options})


def model(
    path: Path,
    nodes: Sequence[Any],
    inputs: Sequence[Any],
    outputs: Sequence[Any],
    **weights: NDArray[Any],
) -> Path:
    tensors = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, "graph", inputs, outputs, tensors)
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return path


def samples(folder: Path, *arrays: NDArray[Any]) -> Samples:
    paths = [folder / f"input_{index}.npy" for index in range(len(arrays))]
    for path, array in zip(paths, arrays, strict=True):
        np.save(path, array)
    return Samples(paths)


def launch(path: Path, data: Samples, run: RunSpec = RUN, **options: str) -> Launch | Failure:
    with lease(f"test-{os.getpid()}") as held:
        return runner(**options).launch(path, run, data, path.parent, QUICK, held)


def predict(path: Path, data: Samples, run: RunSpec = RUN, **options: str) -> Prediction | Failure:
    return runner(**options).predict(path, run, data, path.parent, QUICK)


def numbers(*shape: int) -> NDArray[np.float32]:
    return np.random.default_rng(0).random(shape, dtype=np.float32)


def test_the_runtime_tells_its_libraries_and_what_keeps_tensorrt_from_loading() -> None:
    _, described = described_runner("onnxruntime")
    assert int(described.versions["cudnn"]) >= 90000 and int(described.versions["cublas"]) > 0
    if "TensorrtExecutionProvider" not in described.available:
        reason = described.missing["TensorrtExecutionProvider"]
        assert "libnvinfer" in reason and "pip install 'tensorrt-cu" in reason


def test_a_launch_on_the_card_has_its_proof_and_a_time_without_copies(tmp_path: Path) -> None:
    found = launch(double(tmp_path / "double.onnx"), samples(tmp_path, numbers(10, 8)))
    assert isinstance(found, Launch), found
    assert found.device_latency_ms is not None and found.device_latency_ms > 0
    assert found.proof is not None
    assert found.proof.registered[0] == CUDA and found.proof.elsewhere == ()
    assert set(found.proof.nodes) == {CUDA}
    assert found.proof.options["use_tf32"] == "0"
    assert found.proof.options["cudnn_conv_algo_search"] == "EXHAUSTIVE"
    assert found.proof.options["host_memory"] == "page-locked"


def test_every_call_computes_on_its_own_data(tmp_path: Path) -> None:
    """Buffers stay where they are: an old input, or another call's output, would be silent."""
    for size in (1, 4, 3):
        data = numbers(50, 8)
        run = replace(RUN, batch_size=size)
        found = predict(double(tmp_path / "double.onnx"), samples(tmp_path, data), run)
        assert isinstance(found, Prediction), found
        np.testing.assert_allclose(np.load(found.outputs), 2 * data, rtol=1e-6)


def test_an_output_whose_size_the_data_decide(tmp_path: Path) -> None:
    data = np.maximum(numbers(10, 8) - 0.5, 0)
    path = with_free_output(tmp_path / "free.onnx")
    found = predict(path, samples(tmp_path, data))
    assert isinstance(found, Prediction), found
    np.testing.assert_allclose(np.load(found.outputs), 2 * data, rtol=1e-6)
    assert isinstance(launch(path, samples(tmp_path, data)), Launch)


def test_an_input_that_is_read_on_the_host(tmp_path: Path) -> None:
    """Two numbers are the shape of a tensor of ones, whose sum is their product."""
    path = model(
        tmp_path / "ones.onnx",
        [node("Expand", ["one", "x"], ["ones"]), node("ReduceSum", ["ones", "axes"], ["y"])],
        [info("x", INT64, [2])],
        [info("y", FLOAT, [1, 1])],
        one=np.ones((1, 1), np.float32),
        axes=np.array([0, 1]),
    )
    found = predict(
        path,
        samples(tmp_path, np.array([3, 5, 2, 7, 4, 4])),
        replace(RUN, batch_size=2),
    )
    assert isinstance(found, Prediction), found
    assert np.load(found.outputs).ravel().tolist() == [15, 14, 16]


def test_shapes_computed_on_the_host_are_named(tmp_path: Path) -> None:
    path = model(
        tmp_path / "expand.onnx",
        [
            node("Shape", ["x"], ["shape"], name="shape"),
            node("Gather", ["shape", "zero"], ["batch"], name="take_batch"),
            node("Mul", ["batch", "two"], ["double"], name="double_batch"),
            node("Div", ["double", "two"], ["rows"], name="halve_it"),
            node("Concat", ["rows", "eight"], ["wanted"], axis=0, name="join"),
            node("Expand", ["one", "wanted"], ["ones"], name="expand"),
            node("Add", ["x", "ones"], ["y"], name="sum"),
        ],
        [info("x", FLOAT, ["n", 8])],
        [info("y", FLOAT, ["n", 8])],
        zero=np.array([0]),
        two=np.array([2]),
        eight=np.array([8]),
        one=np.ones((1, 1), np.float32),
    )
    data = numbers(10, 8)
    found = predict(path, samples(tmp_path, data))
    assert isinstance(found, Prediction), found
    np.testing.assert_allclose(np.load(found.outputs), data + 1, rtol=1e-6)
    host = found.providers["CPUExecutionProvider"].host_nodes
    assert "double_batch (Mul)" in host and "join (Concat)" in host
    timed = launch(path, samples(tmp_path, data))
    assert isinstance(timed, Launch) and timed.proof is not None, timed
    assert ("join", "Concat", "CPUExecutionProvider") in timed.proof.elsewhere


# Neither has a kernel in CUDA's provider for any type; neither is a function that would be replaced
# by other operators.
@pytest.mark.parametrize("operator", ["Hardmax", "Unique"])
def test_an_operator_without_a_kernel_is_a_failure_with_its_name(
    tmp_path: Path, operator: str
) -> None:
    path = model(
        tmp_path / "elsewhere.onnx",
        [
            node("MatMul", ["x", "weight"], ["product"], name="product"),
            node(operator, ["product"], ["found"], name="culprit"),
            node("ReduceMax", ["found"], ["y"], name="largest", keepdims=1)
            if operator == "Hardmax"
            else node("Neg", ["found"], ["y"], name="negative"),
        ],
        [info("x", FLOAT, ["n", 8])],
        [info("y", FLOAT, None)],
        weight=np.eye(8, dtype=np.float32),
    )
    data = samples(tmp_path, numbers(10, 8))
    for failure in (predict(path, data), launch(path, data)):
        assert isinstance(failure, Failure), failure
        assert failure.kind is FailureKind.UNSUPPORTED
        assert f"culprit ({operator}, CPUExecutionProvider)" in failure.message
        assert "product" not in failure.message


def memory_by_value(path: Path) -> Path:
    """Write a model that needs as many numbers on the card as its input says."""
    return model(
        path,
        [
            node("ReduceMax", ["x"], ["most"], name="largest", keepdims=0),
            node("Cast", ["most"], ["count"], to=INT64, name="count"),
            node("Reshape", ["count", "one"], ["shape"], name="as_shape"),
            node("ConstantOfShape", ["shape"], ["zeros"], name="hungry"),
            node("ReduceSum", ["zeros", "first"], ["y"], name="sum"),
        ],
        [info("x", FLOAT, ["n", 1])],
        [info("y", FLOAT, [1])],
        one=np.array([1]),
        first=np.array([0]),
    )


@pytest.mark.parametrize("good_calls", [0, 1])
def test_a_device_that_fails_in_the_middle_never_ends_as_a_time(
    tmp_path: Path, good_calls: int
) -> None:
    """A batch asks for 4 GiB where a quarter of one is allowed: the first, or the second."""
    data = np.ones((8, 1), np.float32)
    data[4 * good_calls :] = 2**30
    path, limit = memory_by_value(tmp_path / "memory.onnx"), str(2**28)
    failure = launch(path, samples(tmp_path, data), gpu_mem_limit=limit)
    assert isinstance(failure, Failure), failure
    assert failure.kind is FailureKind.OUT_OF_MEMORY
    assert "hungry" in failure.message
    good = launch(path, samples(tmp_path, np.ones((8, 1), np.float32)), gpu_mem_limit=limit)
    assert isinstance(good, Launch), good


def test_a_cuda_graph_answers_like_no_graph(tmp_path: Path) -> None:
    data = numbers(10, 8)
    path = double(tmp_path / "double.onnx")
    found = predict(path, samples(tmp_path, data), enable_cuda_graph="1")
    assert isinstance(found, Prediction), found
    np.testing.assert_allclose(np.load(found.outputs), 2 * data, rtol=1e-6)
    timed = launch(path, samples(tmp_path, data), enable_cuda_graph="1")
    assert isinstance(timed, Launch) and timed.proof is not None, timed
    assert timed.proof.options["enable_cuda_graph"] == "1"


def test_tf32_is_another_arithmetic_and_is_off_unless_asked_for(tmp_path: Path) -> None:
    weight = np.random.default_rng(1).random((256, 256), dtype=np.float32)
    path = model(
        tmp_path / "product.onnx",
        [node("MatMul", ["x", "weight"], ["y"])],
        [info("x", FLOAT, ["n", 256])],
        [info("y", FLOAT, ["n", 256])],
        weight=weight,
    )
    data = numbers(128, 256)
    exact = data.astype(np.float64) @ weight.astype(np.float64)
    errors = []
    for tf32 in ("0", "1"):
        run = replace(RUN, batch_size=64)
        found = predict(path, samples(tmp_path, data), run, use_tf32=tf32)
        assert isinstance(found, Prediction), found
        errors.append(np.max(np.abs(np.load(found.outputs) / exact - 1)))
    assert errors[0] < 5e-6 and errors[1] > 4 * errors[0]


def test_a_card_that_is_not_there(tmp_path: Path) -> None:
    failure = launch(
        double(tmp_path / "double.onnx"), samples(tmp_path, numbers(4, 8)), device_id="63"
    )
    assert isinstance(failure, Failure) and failure.kind is FailureKind.UNSUPPORTED
    assert "63" in failure.message
