"""The layers of an ONNX model that a scheme quantizes, and their weights."""

from collections.abc import Mapping
from typing import Any

import onnx
from numpy.typing import NDArray

from paretune.runners.build.schemes.weight_groups import GROUP, is_better_grouped
from paretune.spaces import SchemeRecord

WITH_WEIGHTS = ("MatMul", "Gemm")
"""Operators whose weights every scheme quantizes."""

LAYERS = (*WITH_WEIGHTS, "Conv", "ConvTranspose")
"""Operators whose weights some scheme quantizes."""


def quantized_layers(
    model: onnx.ModelProto, weights: Mapping[str, NDArray[Any]], scheme: SchemeRecord
) -> list[onnx.NodeProto]:
    """Return the nodes that a scheme quantizes: without static ranges, no convolutions.

    Args:
        model: The model; its layers have names.
        weights: Its constants, by name.
        scheme: The scheme.
    """
    is_static = scheme.mode == "static"
    kinds: tuple[str, ...] = WITH_WEIGHTS
    if is_static:
        kinds = scheme.operators or LAYERS
    elif group_of(model, weights, scheme):
        kinds = ("MatMul",)
    return [
        node
        for node in model.graph.node
        if node.op_type in kinds and (is_static or node.input[1] in weights)
    ]


def constants(model: onnx.ModelProto) -> dict[str, NDArray[Any]]:
    """Return the constants of a model, by name."""
    found = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        tensors = [each.t for each in node.attribute if each.name == "value"]
        if node.op_type == "Constant" and tensors:
            found[node.output[0]] = tensors[0]
    return {name: onnx.numpy_helper.to_array(tensor) for name, tensor in found.items()}


def group_of(
    model: onnx.ModelProto, weights: Mapping[str, NDArray[Any]], scheme: SchemeRecord
) -> int:
    """Return how many weights share a scale; 0 where a whole output channel does."""
    is_grouped = scheme.mode == "weight" and scheme.weight_bits < 8
    return GROUP if is_grouped and is_better_grouped(model, weights) else 0


def output_channels(node: onnx.NodeProto) -> int:
    """Return the axis of a layer's weight for its output channels."""
    if node.op_type == "Gemm":
        turned = any(each.name == "transB" and each.i for each in node.attribute)
        return 0 if turned else 1
    return {"Conv": 0, "ConvTranspose": 1}.get(node.op_type, -1)
