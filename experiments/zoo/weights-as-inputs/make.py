"""An old file: IR version 3, opset 9, every weight listed among the graph's inputs as the standard then asked."""

import numpy as np
import onnx
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper as nh

r = np.random.default_rng(0)
W = {
    "conv_w": r.standard_normal((8, 1, 3, 3)) / 3,
    "conv_b": r.standard_normal(8) / 3,
    "s": np.abs(r.standard_normal(8)) + 0.5,
    "b": r.standard_normal(8),
    "m": r.standard_normal(8) / 5,
    "v": np.abs(r.standard_normal(8)) + 0.5,
    "fc_w": r.standard_normal((6, 8 * 64)) / 20,
    "fc_b": r.standard_normal(6),
    "mm": r.standard_normal((6, 6)),
}
init = [nh.from_array(v.astype(np.float32), k) for k, v in W.items()] + [
    nh.from_array(np.array([0, -1], np.int64), "flat")
]
inputs = [h.make_tensor_value_info("data", T.FLOAT, ["N", 1, 8, 8])] + [
    h.make_tensor_value_info(t.name, t.data_type, list(t.dims)) for t in init
]
nodes = [
    h.make_node("Conv", ["data", "conv_w", "conv_b"], ["c"], pads=[1, 1, 1, 1]),
    h.make_node("BatchNormalization", ["c", "s", "b", "m", "v"], ["n"]),
    h.make_node("Relu", ["n"], ["a"]),
    h.make_node("Reshape", ["a", "flat"], ["f"]),
    h.make_node("Gemm", ["f", "fc_w", "fc_b"], ["g"], transB=1),
    h.make_node("Relu", ["g"], ["r"]),
    h.make_node("MatMul", ["r", "mm"], ["prob"]),
]
g = h.make_graph(nodes, "g", inputs, [h.make_tensor_value_info("prob", T.FLOAT, ["N", 6])], init)
m = h.make_model(g, opset_imports=[h.make_opsetid("", 9)])
m.ir_version = 3
onnx.checker.check_model(m)
onnx.save(m, "model.onnx")
np.savez("samples.npz", data=r.standard_normal((160, 1, 8, 8)).astype(np.float32))
