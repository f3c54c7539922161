"""A file with local functions (module hierarchy kept), as PyTorch 2.1 to 2.4's dynamo exporter and onnxscript write them."""

import numpy as np
import onnx
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper as nh

r = np.random.default_rng(0)
f = lambda *s: (r.standard_normal(s) / s[0] ** 0.5).astype(np.float32)
ops = [h.make_opsetid("", 18)]
linear = h.make_function(
    "pkg.torch",
    "Linear",
    ["x", "w", "b"],
    ["y"],
    [h.make_node("MatMul", ["x", "w"], ["p"], "mm"), h.make_node("Add", ["p", "b"], ["y"], "add")],
    ops,
)
block = h.make_function(
    "pkg.mine",
    "Block",
    ["x", "w", "b"],
    ["y"],
    [
        h.make_node("Linear", ["x", "w", "b"], ["p"], "linear", domain="pkg.torch"),
        h.make_node("Relu", ["p"], ["y"], "relu"),
    ],
    ops + [h.make_opsetid("pkg.torch", 1)],
)
nodes, init, last = [], [], "x"
for i, (a, b) in enumerate([(32, 128), (128, 128), (128, 6)]):
    init += [nh.from_array(f(a, b), f"w{i}"), nh.from_array(f(b), f"b{i}")]
    out = "scores" if i == 2 else f"h{i}"
    nodes.append(
        h.make_node(
            "Block" if i < 2 else "Linear",
            [last, f"w{i}", f"b{i}"],
            [out],
            f"layer{i}",
            domain="pkg.mine" if i < 2 else "pkg.torch",
        )
    )
    last = out
g = h.make_graph(
    nodes,
    "g",
    [h.make_tensor_value_info("x", T.FLOAT, ["batch", 32])],
    [h.make_tensor_value_info("scores", T.FLOAT, ["batch", 6])],
    init,
)
m = h.make_model(
    g,
    opset_imports=ops + [h.make_opsetid("pkg.torch", 1), h.make_opsetid("pkg.mine", 1)],
    functions=[linear, block],
)
m.ir_version = 8
onnx.checker.check_model(m)
onnx.save(m, "model.onnx")
np.savez("samples.npz", x=r.standard_normal((200, 32)).astype(np.float32))
