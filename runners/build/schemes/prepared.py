"""An ONNX model as the tools that quantize it need it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.version_converter
from onnx import TensorProto, numpy_helper

from paretune.runners.build.schemes.placement.layers import LAYERS
from paretune.runners.failure import FailureKind, StageError
from paretune.runners.onnx_session import basic_form
from paretune.runners.workload.onnx_files.normal_form import normal_form
from paretune.runners.workload.onnx_weights import fits_one_file, save_onnx

_OTHER_FLOATS = (TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16)
_OF_A_TYPE = ("to", "dtype")
"""Attributes that name an element type."""


def prepared(
    source: Path, folder: Path, least_opset: int = 0, constants: Mapping[str, Any] | None = None
) -> Path:
    """Return the file of an equal model that the tools can quantize.

    It computes in fp32, its weights are constants of the graph, and its nodes have names of their
    own. Inputs that never change are constants, too, so that the branches that they choose between
    are gone.

    Args:
        source: The model's file; returned as it is if it is like that already.
        folder: Where to write another one.
        least_opset: The first opset that will do.
        constants: The values of inputs that never change, by name.

    Raises:
        StageError: If the model cannot be converted to that opset.
    """
    model = onnx.load(source)
    model, is_changed = with_layers(model, constants or {})
    changes = [is_changed, _compute_in_fp32(model), _sort_opsets(model)]
    opset = model.opset_import[0].version
    if opset < least_opset:
        model = _converted(model, least_opset)
    changes += [opset < least_opset, _name_nodes(model)]
    if not any(changes):
        return source
    path = folder / "prepared.onnx"
    save_onnx(model, path)
    return path


def with_layers(
    model: onnx.ModelProto, constants: Mapping[str, Any]
) -> tuple[onnx.ModelProto, bool]:
    """Return a model, perhaps changed in place, whose graph shows its layers and their weights.

    Also tell whether it was changed.

    Args:
        model: The model. Its weights are needed only if some are computed from constants.
        constants: The values of inputs that never change, by name.
    """
    model, is_changed = normal_form(model)
    is_changed |= _fix_inputs(model, constants) | _constants_as_weights(model.graph)
    if not _hides_layers(model.graph) or not fits_one_file(model):
        return model, is_changed
    model = onnx.load_from_string(basic_form(model.SerializeToString()))
    _constants_as_weights(model.graph)
    return model, True


def _fix_inputs(model: onnx.ModelProto, constants: Mapping[str, Any]) -> bool:
    """Turn inputs into constants, in place; tell whether there were any."""
    fixed = [value for value in model.graph.input if value.name in constants]
    for value in fixed:
        kind = onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
        array = np.asarray(constants[value.name], kind)
        model.graph.initializer.append(numpy_helper.from_array(array, value.name))
        model.graph.input.remove(value)
    return bool(fixed)


def _constants_as_weights(graph: onnx.GraphProto) -> bool:
    """Turn nodes that give one constant into weights of the graph, in place.

    Exporters write weights in both ways; ONNX Runtime's quantizer looks for one only.
    """
    found = [
        (node, each.t)
        for node in graph.node
        if node.op_type == "Constant"
        for each in node.attribute
        if each.name == "value"
    ]
    for node, tensor in found:
        graph.initializer.append(tensor)
        graph.initializer[-1].name = node.output[0]
        graph.node.remove(node)
    return bool(found)


def _hides_layers(graph: onnx.GraphProto) -> bool:
    """Tell whether constants have to be computed before the layers and their weights are seen.

    That is a branch that a constant chooses, or a weight that operators make of constants, such as
    an embedding that is transposed for the output layer; and NNCF fails at a cast of a constant.
    """
    known = {tensor.name for tensor in graph.initializer}
    given = {tensor.name for tensor in graph.initializer}
    for node in graph.node:
        inputs = {name for name in node.input if name}
        if node.op_type in ("If", "Cast") and inputs <= known:
            return True
        if node.op_type in LAYERS and node.input[1] in known - given:
            return True
        if (
            (inputs or node.op_type == "Constant")
            and inputs <= known
            and not node.op_type.startswith("Dequantize")
        ):
            known |= set(node.output)
    return False


def _compute_in_fp32(model: onnx.ModelProto) -> bool:
    """Compute in fp32 what is computed in another float, in place; tell whether that was so.

    Inputs and outputs keep their types: the caller's data does not change with the candidate.
    """
    kinds = Counter(tensor.data_type for tensor in model.graph.initializer)
    others = sum(kinds[kind] for kind in _OTHER_FLOATS)
    if not others or (others < kinds[TensorProto.FLOAT] and not kinds[TensorProto.DOUBLE]):
        return False
    for tensor in _tensors(model.graph):
        if tensor.data_type in _OTHER_FLOATS:
            single = numpy_helper.to_array(tensor).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(single, tensor.name))
    for graph in graphs(model.graph):
        del graph.value_info[:]
        for node in graph.node:
            for each in node.attribute:
                if each.name in _OF_A_TYPE and each.i in _OTHER_FLOATS:
                    each.i = TensorProto.FLOAT
        if graph is not model.graph:
            for value in (*graph.input, *graph.output):
                if value.type.tensor_type.elem_type in _OTHER_FLOATS:
                    value.type.tensor_type.elem_type = TensorProto.FLOAT
    _cast_ends(model.graph)
    return True


def _cast_ends(graph: onnx.GraphProto) -> None:
    """Cast inputs of another float to fp32, and outputs back, in place."""
    for value in graph.input:
        if value.type.tensor_type.elem_type in _OTHER_FLOATS:
            inner = f"{value.name}_fp32"
            for node in (node for each in graphs(graph) for node in each.node):
                for place, name in enumerate(node.input):
                    if name == value.name:
                        node.input[place] = inner
            cast = onnx.helper.make_node("Cast", [value.name], [inner], inner, to=TensorProto.FLOAT)
            graph.node.insert(0, cast)
    for value in graph.output:
        kind = value.type.tensor_type.elem_type
        if kind in _OTHER_FLOATS:
            inner = f"{value.name}_fp32"
            for node in graph.node:
                for names in (node.input, node.output):
                    for place, name in enumerate(names):
                        if name == value.name:
                            names[place] = inner
            graph.node.append(onnx.helper.make_node("Cast", [inner], [value.name], inner, to=kind))


def _sort_opsets(model: onnx.ModelProto) -> bool:
    """Put ONNX's own operators first, in place: NNCF takes the first opset for theirs."""
    used = {node.domain for graph in graphs(model.graph) for node in graph.node}
    opsets = [each for each in model.opset_import if each.domain in ("", "ai.onnx")]
    opsets += [each for each in model.opset_import if each not in opsets and each.domain in used]
    if opsets == list(model.opset_import):
        return False
    del model.opset_import[:]
    model.opset_import.extend(opsets)
    return True


def _converted(model: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    old = model.opset_import[0].version
    try:
        model = onnx.version_converter.convert_version(model, opset)
        onnx.checker.check_model(model)
    except Exception as error:
        raise StageError(
            FailureKind.UNSUPPORTED,
            f"it needs opset {opset}, but the model has opset {old} and cannot be converted: "
            f"{error}",
        ) from error
    return model


def _name_nodes(model: onnx.ModelProto) -> bool:
    """Give each node a name of its own, in place."""
    taken: set[str] = set()
    is_changed = False
    for place, node in enumerate(model.graph.node):
        if not node.name or node.name in taken:
            node.name = f"{node.op_type}_{place}_{node.output[0]}"
            is_changed = True
        taken.add(node.name)
    return is_changed


def graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """Yield a graph and the graphs inside its nodes."""
    yield graph
    for node in graph.node:
        for each in node.attribute:
            for inner in (*each.graphs, *([each.g] if each.HasField("g") else ())):
                yield from graphs(inner)


def _tensors(graph: onnx.GraphProto) -> Iterator[TensorProto]:
    """Yield the constants of a graph and of the graphs inside its nodes."""
    for each in graphs(graph):
        yield from each.initializer
        for node in each.node:
            yield from (held.t for held in node.attribute if held.HasField("t"))
