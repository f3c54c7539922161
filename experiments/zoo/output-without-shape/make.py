"""A file whose output has no shape, as graph surgery and some converters leave it: ONNX Runtime runs it."""

import numpy as np
import onnx
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper as nh

r = np.random.default_rng(0)


def model(shape):
    g = h.make_graph(
        [
            h.make_node("MatMul", ["x", "w"], ["a"], "mm"),
            h.make_node("Relu", ["a"], ["b"], "r"),
            h.make_node("MatMul", ["b", "w2"], ["y"], "mm2"),
        ],
        "g",
        [h.make_tensor_value_info("x", T.FLOAT, ["batch", 32])],
        [h.make_tensor_value_info("y", T.FLOAT, shape)],
        [
            nh.from_array((r.standard_normal((32, 128)) / 6).astype(np.float32), "w"),
            nh.from_array((r.standard_normal((128, 8)) / 11).astype(np.float32), "w2"),
        ],
    )
    m = h.make_model(g, opset_imports=[h.make_opsetid("", 17)])
    m.ir_version = 8
    return m


onnx.save(model(None), "model.onnx")
onnx.save(model(["batch", 8]), "whole.onnx")
np.savez("samples.npz", x=r.standard_normal((96, 32)).astype(np.float32))
np.save("x.npy", r.standard_normal((96, 32)).astype(np.float32))
