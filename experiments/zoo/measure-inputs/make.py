"""What people give to `paretune measure --inputs`: a .npy file, no such file, a pickle; and dimensions without a name."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper as nh

r = np.random.default_rng(0)


def model(shape, name):
    g = h.make_graph(
        [h.make_node("MatMul", ["x", "w"], ["y"], "mm")],
        "g",
        [h.make_tensor_value_info("x", T.FLOAT, shape)],
        [h.make_tensor_value_info("y", T.FLOAT, None)],
        [nh.from_array(r.standard_normal((32, 8)).astype(np.float32), "w")],
    )
    m = h.make_model(g, opset_imports=[h.make_opsetid("", 17)])
    m.ir_version = 8
    onnx.save(m, name)


model(["batch", 32], "model.onnx")
model([None, None, 32], "unnamed.onnx")
np.save("x.npy", r.standard_normal((64, 32)).astype(np.float32))
np.savez("objects.npz", x=np.array([{"a": 1}], dtype=object))
Path("text.npz").write_text("x,y\n1,2\n")
np.savez("empty.npz", x=np.zeros((0, 32), np.float32))
