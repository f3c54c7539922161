"""OpenVINO models: what OpenVINO saves (its intermediate representation)."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

from paretune.runners.formats.record import FormatRecord

OPENVINO_MODEL = FormatRecord(
    name="openvino",
    words="OpenVINO models",
    suffix="xml",
    made_from="onnx",
    quantize="paretune.runners.build.schemes.openvino_model:quantize",
    signature="paretune.runners.formats.openvino_model:signature",
    beside="paretune.runners.formats.openvino_model:weights",
)


_TYPES = {
    "FP64": "double",
    "FP32": "float",
    "FP16": "float16",
    "BOOL": "bool",
    **{f"I{bits}": f"int{bits}" for bits in (8, 16, 32, 64)},
    **{f"U{bits}": f"uint{bits}" for bits in (8, 16, 32, 64)},
}
"""Element types by OpenVINO's names; these are ONNX's."""


def weights(path: Path) -> list[Path]:
    """Return the file with a model's weights, which lies beside it under the same name."""
    return [path.with_suffix(".bin")]


def signature(path: Path) -> dict[str, Any]:
    """Return what a model says of itself, as ``model_signature`` does of an ONNX file.

    ``options``, if there are any, are compile options that belong to the model.
    """
    root = ElementTree.parse(path).getroot()
    layers = {layer.get("id"): layer for layer in root.iter("layer")}
    ends = [layer for layer in layers.values() if layer.get("type") == "Result"]
    edges = {edge.get("to-layer"): edge for edge in root.iter("edge")}
    outputs = []
    for end in ends:
        edge = edges[end.get("id")]
        ports = layers[edge.get("from-layer")].iter("port")
        outputs += [port for port in ports if port.get("id") == edge.get("from-port")]
    starts = [layer for layer in layers.values() if layer.get("type") == "Parameter"]
    inputs = [port for layer in starts for port in layer.iter("port")]
    told = {each.tag: each.get("value", "") for each in root.iterfind("rt_info/paretune/*")}
    said = {
        "inputs": [_described(port) for port in inputs],
        "outputs": [_described(port) for port in outputs],
        "fp32_layers": told["fp32_layers"].splitlines() if "fp32_layers" in told else [],
        "calibration": told.get("calibration"),
    }
    said |= {name: json.loads(told[name]) for name in ("placement", "constants") if name in told}
    if "inference_precision" in told:
        said["options"] = {"INFERENCE_PRECISION_HINT": told["inference_precision"]}
    return said


def _described(port: ElementTree.Element) -> dict[str, Any]:
    names, precision = sorted(port.get("names", "").split(",")), port.get("precision", "")
    sizes = [int(each.text or -1) for each in port.iter("dim")]
    return {
        "name": names[0],
        "type": _TYPES.get(precision, precision.lower()),
        "shape": [size if size >= 0 else "?" for size in sizes],
    }
