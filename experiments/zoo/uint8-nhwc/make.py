"""A converted TensorFlow model: uint8 NHWC images, input name with a colon, dynamic dimensions named unk__123."""

import numpy as np
import onnx
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper as nh

r = np.random.default_rng(0)
f = lambda *s: (r.standard_normal(s) / 4).astype(np.float32)
init = [
    nh.from_array(f(8, 3, 3, 3), "model/conv/kernel:0"),
    nh.from_array(f(8), "model/conv/bias:0"),
    nh.from_array(f(8, 1, 3, 3), "model/dw/kernel:0"),
    nh.from_array(f(8, 5), "model/fc/kernel:0"),
    nh.from_array(np.array(255, np.float32), "c255"),
]
nodes = [
    h.make_node("Cast", ["serving_default_images:0"], ["x0"], "cast", to=T.FLOAT),
    h.make_node("Div", ["x0", "c255"], ["x1"], "div"),
    h.make_node("Transpose", ["x1"], ["x2"], "nchw", perm=[0, 3, 1, 2]),
    h.make_node(
        "Conv",
        ["x2", "model/conv/kernel:0", "model/conv/bias:0"],
        ["c"],
        "conv",
        auto_pad="SAME_UPPER",
        strides=[2, 2],
    ),
    h.make_node("Clip", ["c", "lo", "hi"], ["r"], "relu6"),
    h.make_node("Conv", ["r", "model/dw/kernel:0"], ["d"], "dw", auto_pad="SAME_UPPER", group=8),
    h.make_node("GlobalAveragePool", ["d"], ["p"], "gap"),
    h.make_node("Flatten", ["p"], ["fl"], "flat"),
    h.make_node("MatMul", ["fl", "model/fc/kernel:0"], ["StatefulPartitionedCall:0"], "fc"),
]
init += [nh.from_array(np.array(0, np.float32), "lo"), nh.from_array(np.array(6, np.float32), "hi")]
g = h.make_graph(
    nodes,
    "g",
    [
        h.make_tensor_value_info(
            "serving_default_images:0", T.UINT8, ["unk__123", "unk__124", "unk__125", 3]
        )
    ],
    [h.make_tensor_value_info("StatefulPartitionedCall:0", T.FLOAT, ["unk__126", 5])],
    init,
)
m = h.make_model(g, opset_imports=[h.make_opsetid("", 13), h.make_opsetid("ai.onnx.ml", 2)])
m.ir_version = 7
onnx.checker.check_model(m)
onnx.save(m, "model.onnx")
np.savez(
    "samples.npz", **{"serving_default_images:0": r.integers(0, 256, (160, 20, 24, 3), np.uint8)}
)
