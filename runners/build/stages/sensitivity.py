"""Sensitivity: which layers suffer most from being quantized.

Each layer is considered alone: it runs on its inputs in the float model, once as it is and once
with its weights (and its inputs, if the scheme quantizes them) rounded. The error that rounding
adds to the layer's output, relative to that output, is its sensitivity: the inverse of the
signal-to-quantization-noise ratio (Pandey et al., "A Practical Mixed Precision Algorithm for
Post-Training Quantization", 2023, https://arxiv.org/abs/2302.05397, rank by the same ratio at the
network's end).
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from paretune.runners.build.schemes.weight_groups import GROUP, is_better_grouped
from paretune.runners.onnx_session import cpu_session
from paretune.runners.workload.onnx_weights import serialized
from paretune.spaces import SchemeRecord

_FEEDS = 8
"""Calibration inputs that each layer runs on. Chosen by judgement."""

WITH_WEIGHTS = ("MatMul", "Gemm")
"""Operators whose weights every scheme quantizes."""


def most_sensitive(
    model: onnx.ModelProto,
    feeds: Sequence[Mapping[str, NDArray[Any]]],
    share: float,
    scheme: SchemeRecord,
) -> list[str]:
    """Return the names of a share of the layers that a scheme quantizes, most sensitive first.

    Args:
        model: The model; its layers have names.
        feeds: Inputs by name; the first few are run.
        share: Share of the layers, rounded up.
        scheme: The scheme.
    """
    found = sensitivities(model, feeds, scheme)
    ranked = sorted(found, key=lambda name: -found[name])
    return ranked[: math.ceil(share * len(ranked) - 1e-9)]


def sensitivities(
    model: onnx.ModelProto, feeds: Sequence[Mapping[str, NDArray[Any]]], scheme: SchemeRecord
) -> dict[str, float]:
    """Return each layer's noise-to-signal ratio by name (arguments: :func:`most_sensitive`)."""
    weights = constants(model)
    group = GROUP if _is_grouped(scheme) and is_better_grouped(model, weights) else 0
    kinds = ("MatMul",) if group else _kinds(scheme)
    layers = [node for node in model.graph.node if _is_quantized(node, weights, scheme, kinds)]
    wanted = {name for node in layers for name in node.input if name and name not in weights}
    drawn = np.random.default_rng(0).permutation(len(feeds))[:_FEEDS]  # they may be sorted
    values = _values(model, [feeds[place] for place in drawn], wanted)
    return {node.name: _noise(model, node, weights, values, scheme, group) for node in layers}


def constants(model: onnx.ModelProto) -> dict[str, NDArray[Any]]:
    """Return the constants of a model, by name."""
    found = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        tensors = [each.t for each in node.attribute if each.name == "value"]
        if node.op_type == "Constant" and tensors:
            found[node.output[0]] = tensors[0]
    return {name: onnx.numpy_helper.to_array(tensor) for name, tensor in found.items()}


def _kinds(scheme: SchemeRecord) -> tuple[str, ...]:
    """Return the operators that a scheme quantizes; without static ranges, no convolutions."""
    return (*WITH_WEIGHTS, "Conv", "ConvTranspose") if scheme.mode == "static" else WITH_WEIGHTS


def _is_grouped(scheme: SchemeRecord) -> bool:
    """Tell whether a scheme has a scale per group of weights, where that is faster."""
    return scheme.mode == "weight" and scheme.weight_bits < 8


def _is_quantized(
    node: onnx.NodeProto,
    weights: Mapping[str, NDArray[Any]],
    scheme: SchemeRecord,
    kinds: Sequence[str],
) -> bool:
    return node.op_type in kinds and (scheme.mode == "static" or node.input[1] in weights)


def _output_channels(node: onnx.NodeProto) -> int:
    """Return the axis of a layer's weight for its output channels."""
    if node.op_type == "Gemm":
        turned = any(each.name == "transB" and each.i for each in node.attribute)
        return 0 if turned else 1
    return {"Conv": 0, "ConvTranspose": 1}.get(node.op_type, -1)


def _values(
    model: onnx.ModelProto, feeds: Sequence[Mapping[str, NDArray[Any]]], wanted: set[str]
) -> dict[str, list[NDArray[Any]]]:
    """Return the model's intermediate values for each feed, by name."""
    given = {value.name for value in model.graph.input}
    probed = onnx.ModelProto()
    probed.CopyFrom(model)
    del probed.graph.output[:]
    inner = sorted(wanted - given)
    probed.graph.output.extend(onnx.ValueInfoProto(name=name) for name in inner)
    found: dict[str, list[NDArray[Any]]] = {
        name: [feed[name] for feed in feeds] for name in wanted & given
    }
    if inner:
        session = cpu_session(serialized(probed), threads=0)
        runs = [session.run(inner, dict(feed)) for feed in feeds]
        found |= {name: [run[place] for run in runs] for place, name in enumerate(inner)}
    return found


def _noise(
    model: onnx.ModelProto,
    node: onnx.NodeProto,
    weights: Mapping[str, NDArray[Any]],
    values: Mapping[str, list[NDArray[Any]]],
    scheme: SchemeRecord,
    group: int,
) -> float:
    names = [name for name in dict.fromkeys(node.input) if name]
    alone = _alone(model, node, names, weights, values)
    session = cpu_session(alone.SerializeToString(), threads=0)
    operands = list(node.input)[:2]
    rounded = {
        name: _rounded_weight(weights[name], scheme.weight_bits, _output_channels(node), group)
        for name in operands
        if name in weights
    }
    inputs = [name for name in operands if name in values and scheme.activation_bits < 16]
    ends = {
        name: (min(v.min() for v in values[name]), max(v.max() for v in values[name]))
        for name in inputs
    }
    signal = noise = 0.0
    for turn in range(len(next(iter(values.values())))):
        exact = {n: weights[n] if n in weights else values[n][turn] for n in names}
        coarse = exact | rounded
        if scheme.mode == "dynamic":  # it finds the range in every call
            ends = {name: (exact[name].min(), exact[name].max()) for name in inputs}
        coarse |= {n: _rounded(exact[n], *ends[n], scheme.activation_bits) for n in ends}
        [right], [got] = session.run(None, exact), session.run(None, coarse)
        signal += float(np.sum(np.square(right, dtype=np.float64)))
        noise += float(np.sum(np.square(got.astype(np.float64) - right)))
    return noise / signal if signal > 0 else 0.0


def _alone(
    model: onnx.ModelProto,
    node: onnx.NodeProto,
    names: Sequence[str],
    weights: Mapping[str, NDArray[Any]],
    values: Mapping[str, list[NDArray[Any]]],
) -> onnx.ModelProto:
    """Return a model of one layer, with the weights as inputs."""
    inputs = []
    for name in names:
        array = weights[name] if name in weights else values[name][0]
        kind = onnx.helper.np_dtype_to_tensor_dtype(array.dtype)
        inputs.append(onnx.helper.make_tensor_value_info(name, kind, [None] * array.ndim))
    output = onnx.ValueInfoProto(name=node.output[0])
    graph = onnx.helper.make_graph([node], "layer", inputs, [output])
    alone = onnx.helper.make_model(graph, opset_imports=model.opset_import)
    alone.ir_version = model.ir_version
    inferred: onnx.ModelProto = onnx.shape_inference.infer_shapes(alone)
    return inferred


def _rounded_weight(weight: NDArray[Any], bits: int, channels: int, group: int) -> NDArray[Any]:
    """Round a weight symmetrically, with one scale per output channel, or per group of inputs."""
    shape = weight.shape
    if group:  # the last axis but one, of a MatMul, holds the inputs
        weight = weight.reshape(*shape[:-2], shape[-2] // group, group, shape[-1])
        axes: tuple[int, ...] = (weight.ndim - 2,)
    else:
        axes = tuple(axis for axis in range(weight.ndim) if axis != channels % weight.ndim)
    most = 2 ** (bits - 1) - 1
    scale = np.abs(weight).max(axis=axes, keepdims=True) / most
    scale = np.where(scale > 0, scale, 1.0)
    rounded: NDArray[Any] = (np.round(weight / scale) * scale).astype(weight.dtype)
    return rounded.reshape(shape)


def _rounded(array: NDArray[Any], low: float, high: float, bits: int) -> NDArray[Any]:
    """Round an activation with one scale from its minimum to its maximum, zero included."""
    low, high = min(float(low), 0.0), max(float(high), 0.0)
    scale = (high - low) / (2**bits - 1) or 1.0
    rounded: NDArray[Any] = np.clip(np.round(array / scale) * scale, low, high).astype(array.dtype)
    return rounded
