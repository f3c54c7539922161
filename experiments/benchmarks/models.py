"""The model that the benchmarks time: a small convolutional network, and its int8 version."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

CHANNELS = 48
SIZE = 24


def write_fp32(path: Path, layers: int = 6) -> Path:
    """Write a chain of 3×3 convolutions with ReLU, then an average and a matrix product."""
    rng = np.random.default_rng(0)
    nodes, weights, last, inputs = [], [], "input", 3
    for index in range(layers):
        shape = (CHANNELS, inputs, 3, 3)
        values = rng.standard_normal(shape).astype(np.float32) / (9 * inputs) ** 0.5
        weights.append(numpy_helper.from_array(values, f"w{index}"))
        nodes.append(
            helper.make_node("Conv", [last, f"w{index}"], [f"c{index}"], pads=[1, 1, 1, 1])
        )
        nodes.append(helper.make_node("Relu", [f"c{index}"], [f"r{index}"]))
        last, inputs = f"r{index}", CHANNELS
    head = rng.standard_normal((CHANNELS, 10)).astype(np.float32)
    weights.append(numpy_helper.from_array(head, "head"))
    nodes.append(helper.make_node("GlobalAveragePool", [last], ["pooled"]))
    nodes.append(helper.make_node("Flatten", ["pooled"], ["flat"]))
    nodes.append(helper.make_node("MatMul", ["flat", "head"], ["output"]))
    graph = helper.make_graph(
        nodes,
        "convolutions",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 3, SIZE, SIZE])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["batch", 10])],
        weights,
    )
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), path)
    return path


def write_int8(fp32: Path, path: Path) -> Path:
    """Write the static int8 version of a model, by NNCF."""
    from paretune.runners.telemetry import switch_off_telemetry

    switch_off_telemetry()
    import nncf

    rng = np.random.default_rng(1)
    samples = [rng.standard_normal((1, 3, SIZE, SIZE)).astype(np.float32) for _ in range(30)]
    dataset = nncf.Dataset(samples, lambda sample: {"input": sample})
    onnx.save(nncf.quantize(onnx.load(fp32), dataset, subset_size=30), path)
    return path


def write_inputs(path: Path, samples: int = 64) -> Path:
    """Write samples of the model's input."""
    rng = np.random.default_rng(2)
    np.save(path, rng.standard_normal((samples, 3, SIZE, SIZE)).astype(np.float32))
    return path
