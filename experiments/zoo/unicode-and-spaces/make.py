"""A Windows-like name: spaces, brackets, an umlaut, a file in a folder with spaces."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper as nh

r = np.random.default_rng(0)
Path("my models (v2)").mkdir(exist_ok=True)
g = h.make_graph(
    [
        h.make_node("MatMul", ["x", "w"], ["a"], "mm"),
        h.make_node("Relu", ["a"], ["b"], "r"),
        h.make_node("MatMul", ["b", "w2"], ["y"], "mm2"),
    ],
    "g",
    [h.make_tensor_value_info("x", T.FLOAT, ["batch", 32])],
    [h.make_tensor_value_info("y", T.FLOAT, ["batch", 8])],
    [
        nh.from_array(r.standard_normal((32, 64)).astype(np.float32), "w"),
        nh.from_array(r.standard_normal((64, 8)).astype(np.float32), "w2"),
    ],
)
m = h.make_model(g, opset_imports=[h.make_opsetid("", 17)])
m.ir_version = 8
onnx.save(
    m,
    "my models (v2)/größe_модель [final].onnx",
    save_as_external_data=True,
    location="größe weights.data",
    size_threshold=0,
)
np.savez("my models (v2)/it's data.npz", x=r.standard_normal((64, 32)).astype(np.float32))
