"""A detector that ends in NonMaxSuppression: the output holds as many rows as boxes were found in the batch."""

import numpy as np
import onnx
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper as nh

r = np.random.default_rng(0)
f = lambda *s: (r.standard_normal(s) / 4).astype(np.float32)
init = [
    nh.from_array(f(20, 24 * 4), "wb"),
    nh.from_array(f(20, 24), "ws"),
    nh.from_array(np.array([0, 24, 4]), "sb"),
    nh.from_array(np.array([0, 1, 24]), "ss"),
    nh.from_array(np.array(10), "most"),
    nh.from_array(np.array(0.5, np.float32), "iou"),
    nh.from_array(np.array(0.6, np.float32), "score"),
]
nodes = [
    h.make_node("MatMul", ["images", "wb"], ["b0"], "boxes_mm"),
    h.make_node("Reshape", ["b0", "sb"], ["b1"], "rb"),
    h.make_node("Sigmoid", ["b1"], ["boxes"], "sig"),
    h.make_node("MatMul", ["images", "ws"], ["s0"], "scores_mm"),
    h.make_node("Reshape", ["s0", "ss"], ["s1"], "rs"),
    h.make_node("Sigmoid", ["s1"], ["scores"], "sig2"),
    h.make_node(
        "NonMaxSuppression", ["boxes", "scores", "most", "iou", "score"], ["selected"], "nms"
    ),
]
g = h.make_graph(
    nodes,
    "g",
    [h.make_tensor_value_info("images", T.FLOAT, ["batch", 20])],
    [h.make_tensor_value_info("selected", T.INT64, ["found", 3])],
    init,
)
m = h.make_model(g, opset_imports=[h.make_opsetid("", 17)])
m.ir_version = 8
onnx.checker.check_model(m)
onnx.save(m, "model.onnx")
np.savez("samples.npz", images=r.standard_normal((160, 20)).astype(np.float32))
