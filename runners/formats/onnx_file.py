"""ONNX files."""

from __future__ import annotations

from pathlib import Path

from paretune.runners.formats.record import FormatRecord

ONNX = FormatRecord(
    name="onnx",
    words="ONNX files",
    stage="export",
    export="paretune.runners.build.stages.export:run",
    quantize="paretune.runners.build.schemes.onnx_model:quantize",
    import_stage="import-model",
    signature="paretune.runners.workload.onnx_files.signature:model_signature",
    beside="paretune.runners.workload.onnx_weights:external_files",
    example="paretune.runners.formats.onnx_file:write_example",
)


def write_example(path: Path) -> None:
    """Write a matrix product."""
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    weight = numpy_helper.from_array(np.eye(8, dtype=np.float32), "weight")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["input", "weight"], ["output"])],
        "test",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 8])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["batch", 8])],
        [weight],
    )
    # The format version that older builds of ONNX Runtime can read.
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), path)
