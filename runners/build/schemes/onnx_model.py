"""The frame of every scheme of an ONNX file: prepare the file, and check what was made."""

import traceback
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import onnx
import onnx.version_converter

from paretune.runners.build.schemes.calibration import calibration_feeds
from paretune.runners.build.stages import StageInput, StageOutput
from paretune.runners.build.stages.sensitivity import WITH_WEIGHTS, most_sensitive
from paretune.runners.failure import FailureKind, StageError
from paretune.runners.formats import FORMATS
from paretune.runners.workload.model_file import FP32_LAYERS
from paretune.runners.workload.onnx_weights import save_onnx
from paretune.spaces import SchemeRecord, resolve

_OF_QUANTIZED = (
    "QuantizeLinear",
    "DequantizeLinear",
    "QLinearConv",
    "MatMulInteger",
    "MatMulNBits",
)


def quantize(given: StageInput, scheme: SchemeRecord) -> StageOutput:
    """Quantize the parent's ONNX file.

    ``params["fp32_layer_share"]``, if there is one, is the share of the layers left in fp32; their
    names are stored in the file's metadata.
    """
    path = given.folder / "model.onnx"
    given = replace(given, parent=_prepared(given, scheme.least_opset))
    graph = onnx.load(given.parent_file, load_external_data=False).graph
    before = Counter(node.op_type for node in graph.node)
    if there := [operator for operator in _OF_QUANTIZED if operator in before]:
        raise StageError(
            FailureKind.UNSUPPORTED, f"the model is already quantized: it has {', '.join(there)}"
        )
    if _is_half(graph):
        raise StageError(
            FailureKind.UNSUPPORTED,
            "the model's weights are in fp16, but all schemes start from fp32: export it in fp32",
        )
    left_out = _left_out(given, scheme)
    maker = resolve(FORMATS.get("onnx").maker_of(scheme) or _nothing)
    try:
        maker(given, path, left_out)
    except (StageError, MemoryError, ImportError, OSError):
        raise
    except Exception as error:
        traceback.print_exc()
        raise StageError(
            FailureKind.UNSUPPORTED, f"{scheme.name} cannot be applied: {error}"
        ) from error
    if _operators(path) == before:
        raise StageError(FailureKind.UNSUPPORTED, _nothing_found(scheme, before, left_out))
    if left_out:
        model = onnx.load(path)
        model.metadata_props.add(key=FP32_LAYERS, value="\n".join(left_out))
        save_onnx(model, path)
    return StageOutput(path)


def _nothing(given: StageInput, path: Path, left_out: Sequence[str]) -> None:
    save_onnx(onnx.load(given.parent_file), path)


def _nothing_found(scheme: SchemeRecord, operators: Counter[str], left_out: Sequence[str]) -> str:
    if left_out:
        return f"all {len(left_out)} layers that {scheme.name} quantizes would be left in fp32"
    needs = f": it needs {' or '.join(WITH_WEIGHTS)} with constant weights"
    return (
        f"{scheme.name} finds nothing to quantize among the model's operators "
        f"({', '.join(sorted(operators))})"
        + (needs if scheme.mode in ("dynamic", "weight") else "")
    )


def _left_out(given: StageInput, scheme: SchemeRecord) -> list[str]:
    """Return the names of the layers to leave in fp32."""
    share = given.params.get("fp32_layer_share", 0.0)
    if not share:
        return []
    return most_sensitive(onnx.load(given.parent_file), calibration_feeds(given), share, scheme)


def _prepared(given: StageInput, least_opset: int) -> Path:
    """Return the parent's file as the tools need it: unique node names, and a recent opset.

    A file that already meets this is returned unchanged.
    """
    model = onnx.load(given.parent_file)
    # NNCF takes the first opset for that of ONNX's own operators.
    opsets = sorted(model.opset_import, key=lambda each: each.domain not in ("", "ai.onnx"))
    is_changed = opsets != list(model.opset_import)
    del model.opset_import[:]
    model.opset_import.extend(opsets)
    opset = opsets[0].version
    if opset < least_opset:
        is_changed = True
        try:
            model = onnx.version_converter.convert_version(model, least_opset)
            onnx.checker.check_model(model)
        except Exception as error:
            raise StageError(
                FailureKind.UNSUPPORTED,
                f"it needs opset {least_opset}, but the model has opset {opset} and cannot be "
                f"converted: {error}",
            ) from error
    taken: set[str] = set()
    for place, node in enumerate(model.graph.node):
        if not node.name or node.name in taken:
            node.name = f"{node.op_type}_{place}_{node.output[0]}"
            is_changed = True
        taken.add(node.name)
    if not is_changed:
        return given.parent_file
    path = given.folder / "prepared.onnx"
    save_onnx(model, path)
    return path


def _is_half(graph: onnx.GraphProto) -> bool:
    """Tell whether most of a model's weights are in fp16."""
    kinds = Counter(tensor.data_type for tensor in graph.initializer)
    return kinds[onnx.TensorProto.FLOAT16] > kinds[onnx.TensorProto.FLOAT]


def _operators(path: Path) -> Counter[str]:
    graph = onnx.load(path, load_external_data=False).graph
    return Counter(node.op_type for node in graph.node)
