"""Placement: which layers stay as they are follows from two measured things."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from conftest import IRIS
from onnx import TensorProto, helper, numpy_helper
from onnx_models import perceptron, samples

from paretune.runners.build.builder import Builder
from paretune.runners.build.built import Built
from paretune.runners.build.schemes.nearest import nearest
from paretune.runners.build.schemes.placement import ranking
from paretune.runners.build.schemes.placement.ranking import Bargain, Placement, bargains
from paretune.runners.build.schemes.placement.rounding_error import rounding_errors
from paretune.runners.build.schemes.placement.time_gain import on_onnxruntime, time_gains_ms
from paretune.runners.failure import Failure
from paretune.runners.formats import FORMATS
from paretune.runners.store.artifact_store import ArtifactStore
from paretune.runners.workload.loaded import LoadedWorkload
from paretune.spaces import SCHEMES, BuildSpec, Quantization

PERCEPTRON = Path(__file__).with_name("perceptron_workload.py")
STATIC, DYNAMIC, WEIGHTS = (SCHEMES.get(f"int8-{name}") for name in ("layers", "dynamic", "weight"))


def feeds(rng: np.random.Generator) -> list[dict[str, Any]]:
    return [{"input": row[None]} for row in samples(rng)["input"][:20]]


def two(rng: np.random.Generator, wide: int, narrow: int) -> onnx.ModelProto:
    """A wide matrix product beside a narrow one, added."""
    weights = {"w1": (wide, 4), "w2": (narrow, 4)}
    nodes = [
        helper.make_node("MatMul", ["a", "w1"], ["x"], "wide"),
        helper.make_node("MatMul", ["b", "w2"], ["y"], "narrow"),
        helper.make_node("Add", ["x", "y"], ["z"], "add"),
    ]
    graph = helper.make_graph(
        nodes,
        "two",
        [
            helper.make_tensor_value_info("a", TensorProto.FLOAT, ["n", wide]),
            helper.make_tensor_value_info("b", TensorProto.FLOAT, ["n", narrow]),
        ],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, ["n", 4])],
        [
            numpy_helper.from_array(rng.standard_normal(shape).astype(np.float32), name)
            for name, shape in weights.items()
        ],
    )
    opsets = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


@pytest.mark.parametrize("scheme", [STATIC, DYNAMIC, WEIGHTS])
def test_the_error_is_that_of_the_outputs_and_of_one_layer(
    scheme: Any, rng: np.random.Generator
) -> None:
    """The layer that makes all of the output's power makes all of the error."""
    model = two(rng, 32, 32)
    given = [
        {
            "a": rng.standard_normal((1, 32)).astype(np.float32),
            "b": 1e-3 * rng.standard_normal((1, 32)).astype(np.float32),
        }
        for _ in range(8)
    ]
    found = rounding_errors(model, given, scheme)
    assert set(found) == {"wide", "narrow"}
    assert 1e-7 < found["wide"] < 1e-2  # 8 bits
    assert found["narrow"] < 1e-3 * found["wide"]


def test_only_layers_that_the_scheme_quantizes_are_judged(rng: np.random.Generator) -> None:
    found = rounding_errors(perceptron(rng), feeds(rng), STATIC)
    assert set(found) == {"layer1", "layer2", "layer3"}


def test_a_large_layer_gains_more_than_a_small_one(rng: np.random.Generator) -> None:
    model = two(rng, 20000, 8)
    given = {
        "a": rng.standard_normal((64, 20000)).astype(np.float32),
        "b": rng.standard_normal((64, 8)).astype(np.float32),
    }
    found = time_gains_ms(model, given, STATIC, on_onnxruntime)
    assert set(found) == {"wide", "narrow"}
    assert abs(found["narrow"]) < abs(found["wide"])


def test_of_weights_alone_the_gain_is_their_number(rng: np.random.Generator) -> None:
    found = time_gains_ms(two(rng, 64, 8), {}, WEIGHTS, on_onnxruntime)
    assert found == {"wide": 256.0, "narrow": 32.0}


def test_the_worst_bargains_are_left_first(monkeypatch: pytest.MonkeyPatch) -> None:
    errors = {"cheap": 0.001, "dear": 0.02, "dearer": 0.03, "useless": 0.0005, "harmful": 0.0001}
    gains = {"cheap": 1.0, "dear": 1.0, "dearer": 4.0, "useless": 0.0, "harmful": -1.0}
    monkeypatch.setattr(ranking, "rounding_errors", lambda *_: errors)
    monkeypatch.setattr(ranking, "time_gains_ms", lambda *_: gains)
    found = bargains(onnx.ModelProto(), [{}], STATIC, on_onnxruntime)
    order = ["useless", "harmful", "dear", "dearer", "cheap"]
    assert [each.layer for each in found] == order
    assert Placement(found, 0.5).left == order[:3]  # rounded up
    assert Placement(found, 0.0).left == []
    assert Bargain("a", 2.0, 0.5).price == 0.25
    told = json.loads(Placement(found, 0.2).as_json())
    assert told[0] == {"layer": "useless", "gain_ms": 0, "error": 0.0005, "is_quantized": False}
    assert [each["is_quantized"] for each in told] == [False, True, True, True, True]


def test_the_nearest_way_is_kept_and_one_that_fails_is_left_out() -> None:
    def failing() -> float:
        raise AssertionError("not for this model")

    ways = {"far": lambda: 2.0, "broken": failing, "near": lambda: 1.1}
    given = [{"x": np.ones(1)} for _ in range(3)]
    found = nearest(
        ways,
        lambda model, feeds: [np.full(len(feeds), model)],
        given,
        lambda feeds: [np.ones(len(feeds))],
    )
    assert found == (1.1, "near")
    with pytest.raises(AssertionError, match="not for this model"):
        nearest({"broken": failing}, lambda *_: [], given, lambda _: [])


@pytest.mark.parametrize("scheme", ["int8-layers", "int8-dynamic", "openvino-int8"])
def test_layers_that_the_workload_names_stay_as_they_are(scheme: str, tmp_path: Path) -> None:
    made = "openvino" if scheme.startswith("openvino") else "onnx"
    if made == "openvino":
        pytest.importorskip("openvino")
    builder = Builder(
        LoadedWorkload(f"{PERCEPTRON}:Named", PERCEPTRON.parent), ArtifactStore(tmp_path)
    )
    built = builder.build(BuildSpec("reference", 0.0, Quantization(scheme)), made)
    assert isinstance(built, Built), built
    path = builder.store.get(built.artifact)
    assert path is not None
    told = FORMATS.get(made).says_of(path)
    assert told["fp32_layers"] == ["node_linear_1"] and "placement" not in told
    if made == "onnx":
        weights = [numpy_helper.to_array(each) for each in onnx.load(path).graph.initializer]
        sizes = {each.size for each in weights if each.dtype == np.float32 and each.ndim == 2}
        assert sizes == {16 * 3}  # not the 4 * 16 of the other layer


def test_a_layer_that_the_file_does_not_have_is_named_with_those_it_has(tmp_path: Path) -> None:
    builder = Builder(
        LoadedWorkload(f"{PERCEPTRON}:Misnamed", PERCEPTRON.parent), ArtifactStore(tmp_path)
    )
    found = builder.build(BuildSpec("reference", 0.0, Quantization("int8-dynamic")))
    assert isinstance(found, Failure)
    assert "names 'head/*', but no layer of the file is called so" in found.message
    assert "2 layers: node_linear, node_linear_1" in found.message


def test_a_file_says_which_layers_stayed_and_why(tmp_path: Path) -> None:
    builder = Builder(LoadedWorkload(f"{IRIS}:Iris", IRIS.parent), ArtifactStore(tmp_path))
    for scheme, made in (("int8-layers", "onnx"), ("openvino-int8", "openvino")):
        if made == "openvino":
            pytest.importorskip("openvino")
        built = builder.build(BuildSpec("reference", 0.0, Quantization(scheme), 0.3), made)
        assert isinstance(built, Built), built
        path = builder.store.get(built.artifact)
        assert path is not None
        told = FORMATS.get(made).says_of(path)
        assert len(told["fp32_layers"]) == 1
        left = [each["layer"] for each in told["placement"] if not each["is_quantized"]]
        assert left == told["fp32_layers"] and len(told["placement"]) > 1
        assert told["placement"][0]["error"] > 0
