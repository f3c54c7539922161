"""What quantization looks at: samples of the whole split, and the scheme that is really applied."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnx_models import perceptron, samples

from paretune.runners.build.schemes import dynamic_int8, integer_sums, static_int8
from paretune.runners.build.schemes.calibration import calibration_rows
from paretune.runners.build.schemes.placement.layers import constants
from paretune.runners.build.schemes.placement.rounding_error import rounding_errors
from paretune.runners.build.schemes.weight_groups import GROUP, is_better_grouped
from paretune.runners.build.stages import StageInput
from paretune.runners.build.stages.integer_graph import quantize_biases
from paretune.runners.onnx_session import cpu_session
from paretune.spaces import SCHEMES

FLOAT = TensorProto.FLOAT
OPSETS = [helper.make_opsetid("", 21)]


def test_calibration_sees_every_class_of_a_sorted_split() -> None:
    classes = np.repeat(np.arange(10), 1000)
    rows = calibration_rows(len(classes))
    assert len(set(rows.tolist())) == 300
    assert set(classes[rows]) == set(range(10))
    assert (rows == calibration_rows(len(classes))).all()
    assert calibration_rows(7).tolist() == list(range(7))


def test_sensitivity_sees_outliers_that_come_late(rng: np.random.Generator) -> None:
    inputs = samples(rng)["input"]
    inputs[len(inputs) // 2 :] *= 1e4  # as if sorted by brightness
    feeds = [{"input": row[None]} for row in inputs]
    static = SCHEMES.get("int8-static")
    early = rounding_errors(perceptron(rng), feeds[:8], static)
    assert rounding_errors(perceptron(rng), feeds, static) != early


def test_a_dynamic_range_is_that_of_one_call(rng: np.random.Generator) -> None:
    """One large sample spoils a static range for all others, and a dynamic one for itself alone."""
    inputs = samples(rng)["input"][:8]
    inputs[3] *= 1e4
    model, feeds = perceptron(rng), [{"input": row[None]} for row in inputs[[0, 1, 2, 4, 3]]]
    dynamic = rounding_errors(model, feeds, SCHEMES.get("int8-dynamic"))
    plain = rounding_errors(model, feeds[:-1], SCHEMES.get("int8-dynamic"))
    assert dynamic["layer1"] < 10 * plain["layer1"]


def mixed(rng: np.random.Generator, shape: tuple[int, ...] = (8, 4)) -> onnx.ModelProto:
    """Two matrix products of fitting width, and a Gemm."""
    weights = {"w1": (64, 64), "w2": (64, 8), "w3": shape}
    nodes = [
        helper.make_node("MatMul", ["x", "w1"], ["a"], "first"),
        helper.make_node("MatMul", ["a", "w2"], ["b"], "second"),
        helper.make_node("Gemm" if len(shape) == 2 else "MatMul", ["b", "w3"], ["y"], "third"),
    ]
    graph = helper.make_graph(
        nodes,
        "mixed",
        [helper.make_tensor_value_info("x", FLOAT, ["batch", 64])],
        [helper.make_tensor_value_info("y", FLOAT, None)],
        [
            numpy_helper.from_array(rng.standard_normal(size).astype(np.float32), name)
            for name, size in weights.items()
        ],
    )
    return helper.make_model(graph, opset_imports=OPSETS, ir_version=10)


def test_int4_layers_are_ranked_as_they_are_quantized(rng: np.random.Generator) -> None:
    """In groups, without the Gemm, which stays in fp32 whatever is left out."""
    model = mixed(rng)
    weight = constants(model)["w1"].copy()
    weight[: weight.shape[0] // 2] *= 100  # one half is large: it would spoil a channel's scale
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(weight, "w1"))
    feeds = [{"x": row[None]} for row in rng.standard_normal((8, 64)).astype(np.float32)]
    feeds = [
        {"x": np.where(np.arange(64) < 32, 0.0, each["x"]).astype(np.float32)} for each in feeds
    ]
    int4 = SCHEMES.get("int4-weight")
    assert is_better_grouped(model, constants(model)) and 64 // GROUP == 2
    found = rounding_errors(model, feeds, int4)
    assert set(found) == {"first", "second"}
    assert found["first"] < 0.02  # with a scale per channel, small weights would become zero


def test_a_vector_as_weight_has_no_groups(rng: np.random.Generator) -> None:
    model = mixed(rng, (8,))
    assert not is_better_grouped(model, constants(model))


def dynamic(folder: Path, model: onnx.ModelProto) -> dict[str, NDArray[Any]]:
    onnx.save(model, folder / "model.onnx")
    given = StageInput(None, folder / "model.onnx", {}, folder, lambda: None)  # type: ignore
    dynamic_int8.make(given, folder / "quantized.onnx", ())
    return constants(onnx.load(folder / "quantized.onnx"))


def test_dynamic_int8_has_a_scale_per_channel(tmp_path: Path, rng: np.random.Generator) -> None:
    found = dynamic(tmp_path, perceptron(rng))
    assert sorted(found[f"w{place}_scale"].size for place in (1, 2, 3)) == [4, 64, 64]


def static(folder: Path, model: onnx.ModelProto) -> dict[str, NDArray[Any]]:
    feeds = [{"input": row[None]} for row in samples(np.random.default_rng(0))["input"][:32]]
    quantized, _ = static_int8.static_int8(model, feeds, ())
    return constants(quantized)


@pytest.mark.parametrize("quantized", [dynamic, static])
@pytest.mark.parametrize(("flags", "most"), [("avx2 avx512bw", 64), ("avx2 avx_vnni", 128)])
def test_weights_have_seven_bits_where_sums_overflow(
    tmp_path: Path,
    rng: np.random.Generator,
    monkeypatch: pytest.MonkeyPatch,
    quantized: Callable[[Path, onnx.ModelProto], dict[str, NDArray[Any]]],
    flags: str,
    most: int,
) -> None:
    (tmp_path / "cpuinfo").write_text(f"processor: 0\nflags\t\t: fpu {flags}\n", "utf-8")
    monkeypatch.setattr(integer_sums, "_CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(integer_sums.platform, "machine", lambda: "x86_64")
    found = quantized(tmp_path, perceptron(rng))
    whole = [array for array in found.values() if array.dtype == np.int8 and array.ndim == 2]
    largest = [int(np.abs(array.astype(int)).max()) for array in whole]
    assert most / 2 < max(largest) <= most


def test_a_bias_of_one_row_becomes_a_valid_integer_one(rng: np.random.Generator) -> None:
    """It had an axis of length one, and a scale for each of its columns."""
    scales = {"s": np.float32(0.02), "ws": rng.random(4).astype(np.float32) / 50 + 0.01}
    zeros = {"z": np.uint8(128), "wz": np.zeros(4, np.int8)}
    values = {
        "w": rng.integers(-63, 64, (8, 4)).astype(np.int8),  # 8 bits overflow on some processors
        "bias": rng.standard_normal((1, 4)).astype(np.float32),
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"]),
        helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["wd"], axis=1),
        helper.make_node("Gemm", ["d", "wd", "bias"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "gemm",
        [helper.make_tensor_value_info("x", FLOAT, ["batch", 8])],
        [helper.make_tensor_value_info("y", FLOAT, ["batch", 4])],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in (scales | zeros | values).items()],
    )
    model = helper.make_model(graph, opset_imports=OPSETS, ir_version=10)
    feed = {"x": rng.standard_normal((5, 8)).astype(np.float32)}
    [before] = cpu_session(model.SerializeToString()).run(None, feed)
    quantize_biases(model)
    assert sum(node.op_type == "DequantizeLinear" for node in model.graph.node) == 3
    [after] = cpu_session(model.SerializeToString()).run(None, feed)
    np.testing.assert_allclose(after, before, atol=2e-3)
