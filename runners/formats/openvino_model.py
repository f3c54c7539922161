"""OpenVINO models: what OpenVINO saves (its intermediate representation)."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

from paretune.runners.formats.record import FormatRecord

OPENVINO_MODEL = FormatRecord(
    name="openvino",
    words="OpenVINO models",
    stage="export-openvino",
    export="paretune.runners.build.stages.export_openvino:run",
    suffix="xml",
    made_from="onnx",
    signature="paretune.runners.formats.openvino_model:signature",
    beside="paretune.runners.formats.openvino_model:weights",
)


def weights(path: Path) -> list[Path]:
    """Return the file with a model's weights, which lies beside it under the same name."""
    return [path.with_suffix(".bin")]


def signature(path: Path) -> dict[str, Any]:
    """Return ``inputs`` and ``outputs`` (name, type and shape), ``calibration``, and ``options``.

    A dimension is a whole number, or a text where it is free. ``calibration`` is ``None`` where
    there was none. ``options``, if there are any, are compile options that belong to the model.
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
    precision, calibration = (
        None if (told := root.find(f"rt_info/paretune/{name}")) is None else told.get("value")
        for name in ("inference_precision", "calibration")
    )
    return {
        "inputs": [_described(port) for port in inputs],
        "outputs": [_described(port) for port in outputs],
        "calibration": calibration,
        **({"options": {"INFERENCE_PRECISION_HINT": precision}} if precision else {}),
    }


def _described(port: ElementTree.Element) -> dict[str, Any]:
    names = sorted((port.get("names") or "").split(","))
    sizes = [int(each.text or -1) for each in port.iter("dim")]
    return {
        "name": names[0],
        "type": (port.get("precision") or "").lower(),
        "shape": [size if size >= 0 else "?" for size in sizes],
    }
