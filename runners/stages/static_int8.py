"""Static int8 by NNCF, calibrated in the way that keeps the model's outputs best.

No way of calibrating is best for every model: correcting biases (Nagel et al., "Data-Free
Quantization through Weight Equalization and Bias Correction", 2019,
https://arxiv.org/abs/1906.04721) cost a small network of the digits study five points of accuracy
and helps others. So all are tried, and judged on the calibration samples.
"""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import nncf
import numpy as np
import onnx
from nncf.quantization import advanced_parameters as advanced
from nncf.quantization import range_estimator as ranges
from numpy.typing import NDArray

from runners.stages.sensitivity import session_of

Feeds = Sequence[Mapping[str, NDArray[Any]]]

_EXTREMES = ranges.RangeEstimatorParameters(
    min=ranges.StatisticsCollectorParameters(ranges.StatisticsType.MIN, ranges.AggregatorType.MIN),
    max=ranges.StatisticsCollectorParameters(ranges.StatisticsType.MAX, ranges.AggregatorType.MAX),
)
_WAYS = {
    "biases corrected": {},
    "biases as they are": {"disable_bias_correction": True},
    "biases as they are, ranges to the extremes": {
        "disable_bias_correction": True,
        "activations_range_estimator_params": _EXTREMES,
    },
}


def static_int8(
    model: onnx.ModelProto, feeds: Feeds, left_out: Sequence[str]
) -> tuple[onnx.ModelProto, str]:
    """Return the quantized model nearest in the first output, and how it was calibrated.

    Args:
        model: The model in fp32.
        feeds: Calibration samples: the inputs of one call each, by name.
        left_out: Names of the layers to leave in fp32.
    """
    expected = _outputs(model, feeds)
    found = []
    for way, parameters in _WAYS.items():
        quantized = nncf.quantize(
            model,
            nncf.Dataset(feeds),
            subset_size=len(feeds),
            ignored_scope=nncf.IgnoredScope(names=list(left_out)),
            advanced_parameters=advanced.AdvancedQuantizationParameters(**parameters),
        )
        _make_unsigned(quantized)
        _quantize_biases(quantized)
        difference = _outputs(quantized, feeds) - expected
        error = float(np.square(difference).mean())
        found.append((error if math.isfinite(error) else math.inf, way, quantized))
    _, way, quantized = min(found, key=lambda each: each[0])
    return quantized, way


def _make_unsigned(model: onnx.ModelProto) -> None:
    """Store quantized activations as uint8 instead of int8, in place: the same values, 128 higher.

    ONNX Runtime would do so itself on x86, and from opset 21 on fails where it had put more
    QuantizeLinear nodes in before (1.32: "output_dtype INT8 does not match y_zero_point type").
    """
    zeros = {tensor.name: tensor for tensor in model.graph.initializer}
    moved = {}
    for node in model.graph.node:
        if node.op_type != "QuantizeLinear" or len(node.input) < 3:
            continue
        zero = zeros.get(node.input[2])
        if zero is not None and zero.data_type == onnx.TensorProto.INT8:
            values = onnx.numpy_helper.to_array(zero).astype(np.int16) + 128
            moved[zero.name] = onnx.numpy_helper.from_array(values.astype(np.uint8), zero.name)
    for name, tensor in moved.items():
        zeros[name].CopyFrom(tensor)
    outputs = {n.output[0] for n in model.graph.node if moved.keys() & set(n.input[2:3])}
    for value in model.graph.value_info:
        if value.name in outputs and value.type.tensor_type.elem_type == onnx.TensorProto.INT8:
            value.type.tensor_type.elem_type = onnx.TensorProto.UINT8


def _quantize_biases(model: onnx.ModelProto) -> None:
    """Store the biases of quantized Gemms as int32, in place, at the scale of their products.

    ONNX Runtime does so itself where the output is quantized, too. Where it is not, before a layer
    left in fp32 and at the end, it would compute in fp32, and make fp32 weights in every call. A
    Relu there becomes a Max with 0, since it would fuse with the Gemm first.
    """
    values = {tensor.name: tensor for tensor in model.graph.initializer}
    scales = {
        node.output[0]: onnx.numpy_helper.to_array(values[node.input[1]])
        for node in model.graph.node
        if node.op_type == "DequantizeLinear" and node.input[1] in values
    }
    uses: defaultdict[str, list[onnx.NodeProto]] = defaultdict(list)
    for node in model.graph.node:
        for name in node.input:
            uses[name].append(node)
    for place, node in reversed(list(enumerate(model.graph.node))):
        if node.op_type != "Gemm" or len(node.input) < 3 or node.input[2] not in values:
            continue
        if node.input[0] not in scales or node.input[1] not in scales:
            continue
        bias = onnx.numpy_helper.to_array(values[node.input[2]])
        scale = (scales[node.input[0]] * scales[node.input[1]]).astype(np.float32)
        if scale.size not in (1, bias.size):
            continue
        name = f"{node.output[0]}_bias"
        limits = np.iinfo(np.int32)
        whole = np.clip(np.rint(bias / scale.astype(np.float64)), limits.min, limits.max)
        parts = {f"{name}_quantized": whole.astype(np.int32), f"{name}_scale": scale}
        model.graph.initializer.extend(
            onnx.numpy_helper.from_array(part, key) for key, part in parts.items()
        )
        dequantized = onnx.helper.make_node(
            "DequantizeLinear", list(parts), [f"{name}_dequantized"], f"{name}_dequantize", axis=0
        )
        node.input[2] = dequantized.output[0]
        model.graph.node.insert(place, dequantized)
        after = uses[node.output[0]]
        relu = after[0] if len(after) == 1 and after[0].op_type == "Relu" else None
        if relu and not any(use.op_type == "QuantizeLinear" for use in uses[relu.output[0]]):
            zero = onnx.numpy_helper.from_array(np.zeros((), np.float32), f"{name}_zero")
            model.graph.initializer.append(zero)
            relu.op_type = "Max"
            relu.input.append(zero.name)


def _outputs(model: onnx.ModelProto, feeds: Feeds) -> NDArray[np.float64]:
    """Return the values of a model's first output for all feeds, one after the other."""
    session = session_of(model)
    name = session.get_outputs()[0].name
    return np.concatenate(
        [np.asarray(session.run([name], feed)[0], np.float64).ravel() for feed in feeds]
    )
