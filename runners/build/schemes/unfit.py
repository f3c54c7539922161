"""Schemes that do not apply to an ONNX model, and why: they are left out before the first trial."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto

from paretune.runners.build.schemes.prepared import graphs, with_layers
from paretune.runners.formats import FORMATS, FormatRecord
from paretune.runners.openvino_core import conversion_reason, import_openvino
from paretune.runners.workload.onnx_weights import fits_one_file
from paretune.spaces import SchemeRecord

_OF_QUANTIZED = (
    "QuantizeLinear",
    "DequantizeLinear",
    "DynamicQuantizeLinear",
    "QLinearConv",
    "QLinearMatMul",
    "ConvInteger",
    "MatMulInteger",
    "MatMulNBits",
    "MatMulIntegerToFloat",
    "DynamicQuantizeMatMul",
    "QGemm",
    "QAttention",
)
_NAMED = 8
"""Operators that a reason names: enough to recognize a model by."""

_FOR_LARGE = ("none", "cast", "dynamic")
"""Modes whose tools do not pass the whole model on in memory."""


def unfit_schemes(
    source: Path, schemes: Iterable[SchemeRecord], constants: Mapping[str, Any] | None = None
) -> dict[str, str]:
    """Return the reason against each scheme that does not apply to a user's ONNX file.

    Args:
        source: The file.
        schemes: The schemes to look at.
        constants: The values of inputs that never change, by name.

    Raises:
        Exception: onnx's own, if the file cannot be read.
    """
    schemes = [*schemes]
    model = onnx.load(source, load_external_data=False)
    original = _Facts(model)
    if not original.is_large:
        model = onnx.load(source)
    ready = with_layers(model, constants or {})[0]
    seen = _Facts(ready)
    reasons = {each.name: _reason(original, seen, each) for each in schemes}
    converted = [each.name for each in schemes if _is_of_openvino(each) and not reasons[each.name]]
    if converted and not original.is_large and (reason := _reason_against_openvino(ready)):
        reasons |= dict.fromkeys(converted, reason)
    return {name: reason for name, reason in reasons.items() if reason}


def unfit(source: Path, ready: Path, scheme: SchemeRecord) -> str | None:
    """Return why a scheme does not apply to a model; ``None`` if it does.

    Args:
        source: The model's file.
        ready: The same, prepared for quantization.
        scheme: The scheme.
    """
    original, seen = (_Facts(onnx.load(path, load_external_data=False)) for path in (source, ready))
    return _reason(original, seen, scheme)


class _Facts:
    """What decides whether schemes apply to a model."""

    def __init__(self, model: onnx.ModelProto) -> None:
        nodes = [node for graph in graphs(model.graph) for node in graph.node]
        self.operators = {node.op_type for node in nodes}
        self.outer = sorted({node.op_type for node in model.graph.node})
        weights = {tensor.name for tensor in model.graph.initializer}
        self.weighted = {n.op_type for n in model.graph.node if {*n.input[1:2]} & weights}
        floats = Counter(
            tensor.data_type for graph in graphs(model.graph) for tensor in graph.initializer
        )
        is_half = floats[TensorProto.FLOAT16] > floats[TensorProto.FLOAT]
        self.bits = 64 if floats[TensorProto.DOUBLE] else 16 if is_half else 32
        self.is_large = not fits_one_file(model)


def _is_of_openvino(scheme: SchemeRecord) -> bool:
    return scheme.mode != "none" and FORMATS.get("openvino").takes(scheme)


def _reason_against_openvino(model: onnx.ModelProto) -> str | None:
    """Return why OpenVINO cannot convert a model; ``None`` if it can, or is not installed."""
    if find_spec("openvino") is None:
        return None
    core = import_openvino().Core()
    try:
        core.read_model(model.SerializeToString())
    except Exception as error:
        return conversion_reason(error)
    return None


def _formats() -> list[FormatRecord]:
    """Return ONNX, and the formats that are made from it."""
    return [made for made in FORMATS if made.source.name == "onnx"]


def _reason(original: _Facts, seen: _Facts, scheme: SchemeRecord) -> str | None:
    if scheme.mode == "none" or not any(made.takes(scheme) for made in _formats()):
        return None
    if there := [each for each in _OF_QUANTIZED if each in original.operators]:
        return f"the model is already quantized: it has {', '.join(there)}"
    if original.is_large and scheme.mode not in _FOR_LARGE:
        return "the model has more than 2 GB, and the tool for it takes no more"
    is_cast = scheme.mode == "cast" and FORMATS.get("onnx").takes(scheme)
    if is_cast and scheme.weight_bits >= original.bits:
        return f"the model's weights are in fp{original.bits} already"
    if not scheme.operators:
        return None
    is_alone = scheme.mode in ("dynamic", "weight")  # activations times activations stay as is
    if {*scheme.operators} & (seen.weighted if is_alone else {*seen.outer}):
        return None
    return (
        f"the model has no {' or '.join(scheme.operators)}"
        + (" with constant weights" if is_alone else "")
        + f" (it has {', '.join(seen.outer[:_NAMED])}{', …' if len(seen.outer) > _NAMED else ''})"
    )
