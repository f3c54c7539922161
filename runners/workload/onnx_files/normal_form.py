"""The form of an ONNX model that every runtime and every tool of ours takes.

Exporters and older versions of ONNX write the same model in several ways, and each tool knows some
of them only. Nothing here changes an answer.
"""

from __future__ import annotations

from pathlib import Path

import onnx
import onnx.inliner
import onnx.shape_inference

from paretune.runners.workload.onnx_weights import fits_one_file

_FIRST_IR_WITH_CONSTANTS = 4
"""The first version of the file format in which a weight need not be an input as well."""


def load_normal_form(path: Path) -> onnx.ModelProto:
    """Return the model of a file, with its weights in memory, in normal form.

    Raises:
        Exception: onnx's own, if it cannot be read.
    """
    return normal_form(onnx.load(path))[0]  # onnx itself refuses weights outside the folder


def normal_form(model: onnx.ModelProto) -> tuple[onnx.ModelProto, bool]:
    """Return a model in normal form, perhaps changed in place, and whether it was changed.

    * Local functions are inlined: quantizers look for operators in the graph itself, and OpenVINO
      refuses functions.
    * Weights are not inputs: NNCF would leave an input without a value. The format asked for it
      before its version 4.
    * A dimension below zero is a free one, as the converter of PaddlePaddle writes it.
    * The version of the format is at most the one that the installed onnx knows.
    * Every output has a type and, where it can be inferred, a shape.
    """
    is_changed = bool(model.functions) or model.ir_version > onnx.IR_VERSION
    if model.functions:
        model = onnx.inliner.inline_local_functions(model)
    model.ir_version = min(model.ir_version, onnx.IR_VERSION)
    is_changed |= _take_weights_out_of_inputs(model)
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        for dimension in value.type.tensor_type.shape.dim:
            if dimension.dim_value < 0:
                dimension.Clear()
                is_changed = True
    is_changed |= _describe_outputs(model)
    return model, is_changed


def _take_weights_out_of_inputs(model: onnx.ModelProto) -> bool:
    weights = {tensor.name for tensor in model.graph.initializer}
    kept = [value for value in model.graph.input if value.name not in weights]
    if len(kept) == len(model.graph.input):
        return False
    del model.graph.input[:]
    model.graph.input.extend(kept)
    model.ir_version = max(model.ir_version, _FIRST_IR_WITH_CONSTANTS)
    return True


def _describe_outputs(model: onnx.ModelProto) -> bool:
    """Give outputs the types and shapes that they lack, in place; tell whether any did."""

    def lacks(value: onnx.ValueInfoProto) -> bool:
        kind = value.type.WhichOneof("value")
        return kind is None or (
            kind == "tensor_type" and not value.type.tensor_type.HasField("shape")
        )

    bare = [value for value in model.graph.output if lacks(value)]
    if not bare or not fits_one_file(model):
        return False
    try:
        inferred = onnx.shape_inference.infer_shapes(model).graph.output
    except Exception:
        return False  # the runtime knows operators that onnx does not
    known = {value.name: value for value in inferred if not lacks(value)}
    for value in bare:
        if value.name in known:
            value.CopyFrom(known[value.name])
    return any(value.name in known for value in bare)
