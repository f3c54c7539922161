"""ONNX files of different origin, as people have them; each with samples for its inputs."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from paretune.runners.workload.onnx_files.answers import answers_of

Samples = dict[str, NDArray[Any]]
SAMPLES = 64
WIDTH = 32


def onnx_answers(model: Path, given: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Return the first output of a model for all samples; its inputs are given in order."""
    return next(iter(answers_of(model, given).values()))


def samples(rng: np.random.Generator, name: str = "input", width: int = WIDTH) -> Samples:
    return {name: rng.standard_normal((SAMPLES, width)).astype(np.float32)}


def weight(name: str, *shape: int, rng: np.random.Generator) -> TensorProto:
    values = rng.standard_normal(shape).astype(np.float32) / float(np.sqrt(shape[0]))
    return numpy_helper.from_array(values, name)


def perceptron(
    rng: np.random.Generator, batch: int | str = "batch", opset: int = 21, outlier: float = 1.0
) -> onnx.ModelProto:
    """Three layers by hand; the hidden channel 0 of the first is larger by a factor.

    The second layer's weights compensate for the factor: the answers stay the same.
    """
    nodes, weights = [], []
    widths = [WIDTH, 64, 64, 4]
    for place, (inputs, outputs) in enumerate(pairwise(widths), start=1):
        values = rng.standard_normal((inputs, outputs)).astype(np.float32) / inputs**0.5
        if place == 1:
            values[:, 0] *= outlier
        if place == 2:
            values[0] /= outlier
        weights.append(numpy_helper.from_array(values, f"w{place}"))
        source = "input" if place == 1 else f"r{place - 1}"
        product = f"h{place}" if place < 3 else "output"
        nodes.append(helper.make_node("MatMul", [source, f"w{place}"], [product], f"layer{place}"))
        if place < 3:
            nodes.append(helper.make_node("Relu", [product], [f"r{place}"], f"relu{place}"))
    return finished(nodes, weights, batch=batch, opset=opset)


def finished(
    nodes: list[onnx.NodeProto],
    weights: list[TensorProto],
    *,
    batch: int | str = "batch",
    opset: int = 21,
    inputs: list[onnx.ValueInfoProto] | None = None,
) -> onnx.ModelProto:
    """Return a model with four outputs per sample."""
    output = helper.make_tensor_value_info("output", TensorProto.FLOAT, [batch, 4])
    given = inputs or [helper.make_tensor_value_info("input", TensorProto.FLOAT, [batch, WIDTH])]
    graph = helper.make_graph(nodes, "graph", given, [output], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    model.ir_version = 10 if opset > 11 else 6
    onnx.checker.check_model(model)
    return model


def two_inputs(path: Path, rng: np.random.Generator) -> Samples:
    """Tokens of any number, and a mask: an embedding, averaged over what the mask lets through."""
    axes = numpy_helper.from_array(np.array([1]), "axes")
    last = numpy_helper.from_array(np.array([2]), "last")
    nodes = [
        helper.make_node("Gather", ["table", "tokens"], ["vectors"]),
        helper.make_node("Unsqueeze", ["mask", "last"], ["column"]),
        helper.make_node("Mul", ["vectors", "column"], ["masked"]),
        helper.make_node("ReduceSum", ["masked", "axes"], ["pooled"], keepdims=0),
        helper.make_node("MatMul", ["pooled", "w1"], ["hidden"]),
        helper.make_node("Relu", ["hidden"], ["positive"]),
        helper.make_node("MatMul", ["positive", "w2"], ["output"]),
    ]
    weights = [
        weight("table", 50, 64, rng=rng),
        weight("w1", 64, 64, rng=rng),
        weight("w2", 64, 4, rng=rng),
    ]
    inputs = [
        helper.make_tensor_value_info("tokens", TensorProto.INT64, ["batch", "length"]),
        helper.make_tensor_value_info("mask", TensorProto.FLOAT, ["batch", "length"]),
    ]
    onnx.save(finished(nodes, [*weights, axes, last], inputs=inputs), path)
    mask = (rng.random((SAMPLES, 12)) < 0.8).astype(np.float32)
    return {"mask": mask, "tokens": rng.integers(0, 50, (SAMPLES, 12))}


def integer_tokens(path: Path, rng: np.random.Generator) -> Samples:
    """Eight tokens of 32 bits."""
    nodes = [
        helper.make_node("Gather", ["table", "tokens"], ["vectors"]),
        helper.make_node("Flatten", ["vectors"], ["flat"], axis=1),
        helper.make_node("Gemm", ["flat", "w1"], ["output"]),
    ]
    weights = [weight("table", 50, 16, rng=rng), weight("w1", 128, 4, rng=rng)]
    inputs = [helper.make_tensor_value_info("tokens", TensorProto.INT32, ["batch", 8])]
    onnx.save(finished(nodes, weights, inputs=inputs), path)
    return {"tokens": rng.integers(0, 50, (SAMPLES, 8))}


def by_hand(path: Path, rng: np.random.Generator) -> Samples:
    """Three layers."""
    onnx.save(perceptron(rng), path)
    return samples(rng)


def fixed_batch(path: Path, rng: np.random.Generator) -> Samples:
    """Batches of four, and no other."""
    onnx.save(perceptron(rng, batch=4), path)
    return samples(rng)


def old_opset(path: Path, rng: np.random.Generator) -> Samples:
    """Opset 11."""
    onnx.save(perceptron(rng, opset=11), path)
    return samples(rng)


def external_data(path: Path, rng: np.random.Generator) -> Samples:
    """Weights in a separate file."""
    onnx.save(
        perceptron(rng), path, save_as_external_data=True, location="weights.bin", size_threshold=0
    )
    return samples(rng)


def half_precision(path: Path, rng: np.random.Generator) -> Samples:
    """In fp16, including inputs and outputs."""
    from onnxruntime.transformers.float16 import convert_float_to_float16

    onnx.save(convert_float_to_float16(perceptron(rng)), path)
    return {name: array.astype(np.float16) for name, array in samples(rng).items()}


def quantized(path: Path, rng: np.random.Generator) -> Samples:
    """In int8 already."""
    import nncf

    given = samples(rng)
    feeds = [{"input": row[None]} for row in given["input"]]
    onnx.save(nncf.quantize(perceptron(rng), nncf.Dataset(feeds), subset_size=len(feeds)), path)
    return given


def from_torch(path: Path, rng: np.random.Generator, *, dynamo: bool) -> Samples:
    """Convolutions, as PyTorch exports them."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(512, 4),
    ).eval()
    example = torch.zeros(2, 1, 8, 8)
    if dynamo:
        axes: dict[str, Any] = {"dynamic_shapes": ({0: torch.export.Dim("batch")},)}
    else:
        axes = {"dynamic_axes": {"input": {0: "batch"}, "output": {0: "batch"}}}
    torch.onnx.export(
        model,
        (example,),
        path,
        dynamo=dynamo,
        input_names=["input"],
        output_names=["output"],
        verbose=False,
        **axes,
    )
    return {"input": rng.standard_normal((SAMPLES, 1, 8, 8)).astype(np.float32)}


def from_dynamo(path: Path, rng: np.random.Generator) -> Samples:
    """By PyTorch's new exporter."""
    return from_torch(path, rng, dynamo=True)


def from_torchscript(path: Path, rng: np.random.Generator) -> Samples:
    """By PyTorch's old exporter."""
    return from_torch(path, rng, dynamo=False)


def from_sklearn(path: Path, rng: np.random.Generator) -> Samples:
    """A pipeline of scikit-learn's by skl2onnx: a label and, as maps, probabilities."""
    from skl2onnx import to_onnx
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    given = samples(rng)
    values = given["input"]
    classes = values[:, :4].argmax(axis=1)
    model = make_pipeline(StandardScaler(), MLPClassifier(64, random_state=0, max_iter=500))
    onnx.save(to_onnx(model.fit(values, classes), values[:1]), path)
    return {"X": values}


MODELS: list[Callable[[Path, np.random.Generator], Samples]] = [
    from_dynamo,
    from_torchscript,
    from_sklearn,
    two_inputs,
    fixed_batch,
    integer_tokens,
    external_data,
    half_precision,
    quantized,
    old_opset,
    by_hand,
]
