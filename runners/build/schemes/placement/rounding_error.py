"""What rounding one layer costs at the end of the network.

Each layer alone is rounded as a scheme would, in the float model, and the error of the model's
outputs is measured. Ranking by the error of the layer's own output, which costs less, was misled:
on a detector, leaving the quarter of the layers with the largest errors of their own in fp32 made
the outputs worse. Pandey et al., "A Practical Mixed Precision Algorithm for Post-Training
Quantization", 2023, https://arxiv.org/abs/2302.05397, rank by the error at the end as well.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from paretune.runners.build.schemes.nearest import Answers, Feeds, outputs_of, relative_error
from paretune.runners.build.schemes.placement.layers import (
    constants,
    group_of,
    output_channels,
    quantized_layers,
)
from paretune.runners.onnx_session import cpu_session
from paretune.runners.workload.onnx_weights import serialized
from paretune.spaces import SchemeRecord

_FEEDS = 8
"""Calibration inputs that each layer is judged on. Chosen by judgement."""


def rounding_errors(model: onnx.ModelProto, feeds: Feeds, scheme: SchemeRecord) -> dict[str, float]:
    """Return the error of the outputs when one layer alone is rounded, by the layer's name.

    It is the mean squared error relative to the outputs' mean square.

    Args:
        model: The model in fp32, of opset 13 or later; its layers have names.
        feeds: Calibration samples: the inputs of one call each, by name.
        scheme: The scheme.
    """
    weights = constants(model)
    layers = quantized_layers(model, weights, scheme)
    drawn = np.random.default_rng(0).permutation(len(feeds))[:_FEEDS]  # they may be sorted
    chosen = [feeds[place] for place in drawn]
    ranges = _ranges(model, chosen, layers, weights) if scheme.mode == "static" else {}
    board = _switchboard(model, layers, weights, ranges, scheme)
    session = cpu_session(serialized(board), threads=0)
    off = {_switch(node): np.array(False) for node in layers}

    def answers(on: Mapping[str, Any]) -> Answers:
        return outputs_of(session, [{**feed, **off, **on} for feed in chosen])

    right = answers({})
    return {
        node.name: relative_error(answers({_switch(node): np.array(True)}), right)
        for node in layers
    }


def _switch(node: onnx.NodeProto) -> str:
    return f"{node.name}/is_rounded"


def _ranges(
    model: onnx.ModelProto,
    feeds: Feeds,
    layers: Sequence[onnx.NodeProto],
    weights: Mapping[str, NDArray[Any]],
) -> dict[str, tuple[float, float]]:
    """Return the smallest and the largest value of each layer's inputs, zero included."""
    wanted = sorted({name for node in layers for name in node.input[:2] if name not in weights})
    probed = onnx.ModelProto()
    probed.CopyFrom(model)
    ends = []
    for place, name in enumerate(wanted):
        for kind in ("ReduceMin", "ReduceMax"):
            end = f"{kind}_{place}_of_range"
            probed.graph.node.append(helper.make_node(kind, [name], [end], keepdims=0))
            probed.graph.output.append(helper.make_tensor_value_info(end, TensorProto.FLOAT, []))
            ends.append(end)
    session = cpu_session(serialized(probed), threads=0)
    runs = np.array([session.run(ends, dict(feed)) for feed in feeds], np.float64)
    runs = runs.reshape(len(feeds), len(wanted), 2)
    return {
        name: (min(float(runs[:, place, 0].min()), 0.0), max(float(runs[:, place, 1].max()), 0.0))
        for place, name in enumerate(wanted)
    }


def _switchboard(
    model: onnx.ModelProto,
    layers: Sequence[onnx.NodeProto],
    weights: Mapping[str, NDArray[Any]],
    ranges: Mapping[str, tuple[float, float]],
    scheme: SchemeRecord,
) -> onnx.ModelProto:
    """Return the model with an input for each layer that says whether it is rounded."""
    board = onnx.ModelProto()
    board.CopyFrom(model)
    group = group_of(model, weights, scheme)
    names = {node.name for node in layers}
    before: list[onnx.NodeProto] = []
    for node in board.graph.node:
        if node.name in names:
            switch = _switch(node)
            kind = helper.make_tensor_value_info(switch, TensorProto.BOOL, [])
            board.graph.input.append(kind)
            for place, name in enumerate(node.input[:2]):
                stem = f"{node.name}/{place}"
                if name in weights:
                    rounded = rounded_weight(
                        weights[name], scheme.weight_bits, output_channels(node), group
                    )
                    coarse = f"{stem}/rounded"
                    board.graph.initializer.append(numpy_helper.from_array(rounded, coarse))
                elif scheme.activation_bits < 16:
                    made = _rounding(name, stem, ranges.get(name), board.graph)
                    before += made
                    coarse = made[-1].output[0]
                else:
                    continue
                chosen = f"{stem}/chosen"
                before.append(helper.make_node("Where", [switch, coarse, name], [chosen], chosen))
                node.input[place] = chosen
        before.append(node)
    nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in before]
    del board.graph.node[:]
    board.graph.node.extend(nodes)
    return board


def _rounding(
    name: str, stem: str, ends: tuple[float, float] | None, graph: onnx.GraphProto
) -> list[onnx.NodeProto]:
    """Return nodes that round an activation to 8 bits; in its range of one call without ends."""
    whole, scale, zero = (f"{stem}/{part}" for part in ("whole", "scale", "zero"))
    if ends is None:
        quantize = helper.make_node("DynamicQuantizeLinear", [name], [whole, scale, zero], whole)
    else:
        step = (ends[1] - ends[0]) / 255 or 1.0
        values = {scale: np.float32(step), zero: np.uint8(np.clip(round(-ends[0] / step), 0, 255))}
        graph.initializer.extend(
            numpy_helper.from_array(np.asarray(each), key) for key, each in values.items()
        )
        quantize = helper.make_node("QuantizeLinear", [name, scale, zero], [whole], whole)
    back = f"{stem}/back"
    return [quantize, helper.make_node("DequantizeLinear", [whole, scale, zero], [back], back)]


def rounded_weight(weight: NDArray[Any], bits: int, channels: int, group: int) -> NDArray[Any]:
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
