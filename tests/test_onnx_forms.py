"""The same models as other tools and older versions write them: every scheme applies or says why.

Each was refused by a tool, or quantized for the worse, before it was brought into one form.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import yaml
from onnx import TensorProto, helper, numpy_helper
from onnx_models import (
    SAMPLES,
    WIDTH,
    Samples,
    finished,
    half_precision,
    onnx_answers,
    perceptron,
    samples,
    weight,
)

import paretune
from paretune.runners.build.builder import Builder
from paretune.runners.build.built import Built
from paretune.runners.build.schemes.unfit import unfit_schemes
from paretune.runners.failure import Failure
from paretune.runners.store.artifact_store import ArtifactStore
from paretune.runners.workload.loaded import LoadedWorkload
from paretune.spaces import SCHEMES, BuildSpec, Quantization

Make = Callable[[Path, np.random.Generator], Samples]
SCHEMES_OF_FILES = ("fp16", "int8-static", "int8-dynamic", "int8-weight", "int4-weight")


def weights_among_inputs(path: Path, rng: np.random.Generator) -> Samples:
    """Version 3 of the format, which lists weights among the inputs."""
    model = perceptron(rng, opset=9)
    model.ir_version = 3
    model.graph.input.extend(
        helper.make_tensor_value_info(each.name, each.data_type, each.dims)
        for each in model.graph.initializer
    )
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return samples(rng)


def local_functions(path: Path, rng: np.random.Generator) -> Samples:
    """Layers in functions of the file."""
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("mine", 1)]
    body = [
        helper.make_node("MatMul", ["x", "w"], ["p"], "mm"),
        helper.make_node("Relu", ["p"], ["y"]),
    ]
    layer = helper.make_function("mine", "Layer", ["x", "w"], ["y"], body, opsets[:1])
    nodes = [
        helper.make_node("Layer", ["input", "w1"], ["h1"], "one", domain="mine"),
        helper.make_node("Layer", ["h1", "w2"], ["output"], "two", domain="mine"),
    ]
    weights = [weight("w1", WIDTH, 64, rng=rng), weight("w2", 64, 4, rng=rng)]
    model = helper.make_model(
        helper.make_graph(
            nodes,
            "graph",
            [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", WIDTH])],
            [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["batch", 4])],
            weights,
        ),
        opset_imports=opsets,
        functions=[layer],
        ir_version=8,
    )
    onnx.save(model, path)
    return samples(rng)


def double(path: Path, rng: np.random.Generator) -> Samples:
    """In float64, including inputs and outputs."""
    model = perceptron(rng)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.elem_type = TensorProto.DOUBLE
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor).astype(np.float64)
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    onnx.save(model, path)
    return {name: array.astype(np.float64) for name, array in samples(rng).items()}


def pictures(path: Path, rng: np.random.Generator) -> Samples:
    """Bytes with the channel last, and a depthwise convolution that has no bias."""
    nodes = [
        helper.make_node("Cast", ["x:0"], ["x0"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["x0", "scale"], ["x1"]),
        helper.make_node("Transpose", ["x1"], ["x2"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["x2", "kernel:0", "bias:0"], ["c"], auto_pad="SAME_UPPER"),
        helper.make_node("Clip", ["c", "low", "high"], ["r"]),
        helper.make_node("Conv", ["r", "deep:0"], ["d"], auto_pad="SAME_UPPER", group=8),
        helper.make_node("GlobalAveragePool", ["d"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("MatMul", ["f", "head:0"], ["output"]),
    ]
    weights = [
        weight("kernel:0", 8, 3, 3, 3, rng=rng),
        weight("bias:0", 8, rng=rng),
        weight("deep:0", 8, 1, 3, 3, rng=rng),
        weight("head:0", 8, 4, rng=rng),
        *(
            numpy_helper.from_array(np.float32(value), name)
            for name, value in (("scale", 1 / 255), ("low", 0), ("high", 6))
        ),
    ]
    shape = ["batch", "height", "width", 3]
    inputs = [helper.make_tensor_value_info("x:0", TensorProto.UINT8, shape)]
    onnx.save(finished(nodes, weights, opset=13, inputs=inputs), path)
    return {"x:0": rng.integers(0, 256, (SAMPLES, 12, 10, 3), np.uint8)}


def without_shapes(path: Path, rng: np.random.Generator) -> Samples:
    """An output without a shape, which onnx's checker refuses, and free sizes written as -1."""
    model = perceptron(rng)
    model.graph.output[0].type.tensor_type.ClearField("shape")
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = -1
    onnx.save(model, path)
    return samples(rng)


def of_the_next_version(path: Path, rng: np.random.Generator) -> Samples:
    """A version of the format that the installed onnx does not know yet."""
    model = perceptron(rng)
    model.ir_version = onnx.IR_VERSION + 1
    path.write_bytes(model.SerializeToString())
    return samples(rng)


def tied_weights(path: Path, rng: np.random.Generator) -> Samples:
    """An output layer whose weight is the transposed one of the first, and constants as nodes."""
    nodes = [
        helper.make_node("Constant", [], ["w"], value=weight("w", 4, WIDTH, rng=rng)),
        helper.make_node("Transpose", ["w"], ["back"], perm=[1, 0]),
        helper.make_node("Transpose", ["back"], ["again"], perm=[1, 0]),
        helper.make_node("MatMul", ["input", "back"], ["h"]),
        helper.make_node("MatMul", ["h", "again"], ["i"]),
        helper.make_node("MatMul", ["i", "back"], ["output"]),
    ]
    onnx.save(finished(nodes, []), path)
    return samples(rng)


def chosen_branch(path: Path, rng: np.random.Generator) -> Samples:
    """All layers in a branch that a constant chooses."""
    outputs = [helper.make_tensor_value_info("inner", TensorProto.FLOAT, ["batch", 4])]
    branches = [
        helper.make_graph(
            [helper.make_node("MatMul", ["input", f"w{name}"], ["inner"])], name, [], outputs
        )
        for name in "ab"
    ]
    for each in branches:
        each.initializer.append(weight(f"w{each.name}", WIDTH, 4, rng=rng))
    node = helper.make_node(
        "If", ["which"], ["output"], then_branch=branches[0], else_branch=branches[1]
    )
    onnx.save(finished([node], [numpy_helper.from_array(np.array(True), "which")]), path)
    return samples(rng)


CASES: dict[Make, set[str]] = {
    weights_among_inputs: set(),
    local_functions: set(),
    double: set(),
    half_precision: {"fp16"},
    pictures: set(),
    without_shapes: set(),
    of_the_next_version: set(),
    tied_weights: set(),
    chosen_branch: set(),
}
"""The models, and the schemes that do not apply to each."""


@pytest.mark.parametrize("make", CASES, ids=lambda make: make.__name__)
def test_every_scheme_is_made_or_left_out(
    tmp_path: Path, rng: np.random.Generator, make: Make
) -> None:
    model, data = tmp_path / "model.onnx", tmp_path / "samples.npz"
    np.savez(data, **make(model, rng))
    paretune.onnx_study(model, data, folder=tmp_path / "study")
    loaded = LoadedWorkload("workload.py:Model", tmp_path / "study")
    builder = Builder(loaded, ArtifactStore(tmp_path / "store"))
    names = {each.name for each in model_of(model).graph.input} - {"w1", "w2", "w3"}
    casts = ["fp32-cast"] if make is double else []
    for scheme in ("fp32", *casts, *SCHEMES_OF_FILES):
        built = builder.build(BuildSpec("reference", 0.0, Quantization(scheme), 0.0))
        if scheme in CASES[make]:
            assert isinstance(built, Failure) and built.kind == "unsupported", built
            continue
        assert isinstance(built, Built), f"{scheme}: {built}"
        path = builder.store.get(built.artifact)
        assert path is not None
        assert {each.name for each in model_of(path).graph.input} == names
        answers = onnx_answers(path, loaded.data.test.all_inputs)
        assert loaded.score(answers, "test") > (0.95 if scheme == "int4-weight" else 0.99), scheme
    reasons = set(unfit_schemes(model, SCHEMES))
    assert reasons - {"fp32-cast"} == CASES[make]
    written = yaml.safe_load((tmp_path / "study" / "study.yaml").read_text("utf-8"))
    is_double = "fp32-cast" not in reasons
    assert is_double == (make is double) == ("fp32-cast" in written["space"]["quantization"])


def model_of(path: Path) -> onnx.ModelProto:
    return onnx.load(path, load_external_data=False)


def test_what_has_no_layer_to_quantize_is_left_out(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    nodes = [
        helper.make_node("Conv", ["input", "kernel"], ["c"]),
        helper.make_node("GlobalAveragePool", ["c"], ["p"]),
        helper.make_node("Flatten", ["p"], ["output"]),
    ]
    inputs = [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 3, 8, 8])]
    kernel = weight("kernel", 4, 3, 3, 3, rng=rng)
    onnx.save(finished(nodes, [kernel], inputs=inputs), tmp_path / "convolution.onnx")
    reasons = unfit_schemes(tmp_path / "convolution.onnx", SCHEMES)
    of_matrices = {"int8-dynamic", "int8-weight", "int4-weight"}
    of_openvino = {f"openvino-{each}" for each in of_matrices - {"int8-dynamic"}}
    of_openvino |= {"openvino-int8-matrices", "openvino-int8-matrices-bf16"}
    assert set(reasons) == {"fp32-cast"} | of_matrices | of_openvino
    assert "no MatMul or Gemm with constant weights (it has Conv," in reasons["int8-weight"]
    relu = [helper.make_node("Slice", ["input", "start", "end", "axis"], ["output"])]
    ends = [
        numpy_helper.from_array(np.array([value]), name)
        for name, value in (("start", 0), ("end", 4), ("axis", 1))
    ]
    onnx.save(finished(relu, ends), tmp_path / "slice.onnx")
    assert set(unfit_schemes(tmp_path / "slice.onnx", SCHEMES)) >= {"int8-static", "int8-qat"}


def test_a_quantized_model_is_tried_as_it_is(tmp_path: Path, rng: np.random.Generator) -> None:
    from onnx_models import quantized

    quantized(tmp_path / "model.onnx", rng)
    reasons = unfit_schemes(tmp_path / "model.onnx", SCHEMES)
    assert set(reasons) >= set(SCHEMES_OF_FILES)
    assert "already quantized: it has QuantizeLinear" in reasons["int8-dynamic"]
