import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

rng = np.random.default_rng(0)
w = numpy_helper.from_array(rng.normal(0, 0.2, (16, 3, 3, 3)).astype("float32"), "w")
free = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 1, 1])
for axis in (0, 2, 3):
    free.type.tensor_type.shape.dim[axis].dim_value = -1  # as paddle2onnx writes what is free
out = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
nodes = [
    helper.make_node("Conv", ["x", "w"], ["a"], pads=[1, 1, 1, 1]),
    helper.make_node("Relu", ["a"], ["b"]),
    helper.make_node("GlobalAveragePool", ["b"], ["y"]),
]
onnx.save(
    helper.make_model(
        helper.make_graph(nodes, "g", [free], [out], [w]),
        opset_imports=[helper.make_opsetid("", 11)],
        ir_version=7,
    ),
    "model.onnx",
)
np.savez("samples.npz", x=rng.normal(size=(64, 3, 48, 192)).astype("float32"))
