"""Rewrites quantized graphs so that ONNX Runtime runs them in integers."""

from collections import defaultdict

import numpy as np
import onnx


def make_unsigned(model: onnx.ModelProto) -> None:
    """Store quantized activations as uint8 instead of int8, in place: the same values, 128 higher.

    ONNX Runtime would do so itself on x86, but from opset 21 on fails where it has inserted more
    QuantizeLinear nodes (1.32: "output_dtype INT8 does not match y_zero_point type").
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


def quantize_biases(model: onnx.ModelProto) -> None:
    """Store the biases of quantized Gemms as int32, in place, at the scale of their products.

    ONNX Runtime does so itself where the output is quantized as well. Where it is not (before a
    layer left in fp32, and at the end), it would compute in fp32 and convert the weights to fp32 in
    every call. A Relu there becomes a Max with 0, because a Relu would fuse with the Gemm first.
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
        if bias.shape[:1] == (1,) and bias.ndim == 2:
            bias = bias[0]  # the same for every sample, as a vector is
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
