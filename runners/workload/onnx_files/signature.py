"""The inputs, outputs and quantization of an ONNX file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from paretune.runners.workload.model_file import CALIBRATION, CONSTANTS, FP32_LAYERS, PLACEMENT


def model_signature(path: Path) -> dict[str, Any]:
    """Return ``inputs`` and ``outputs`` (name, type and shape), ``fp32_layers``, ``calibration``.

    A dimension is a whole number, or a name where it is free. The layers are those that the
    quantization left in fp32, by name, and ``placement`` says of every layer what quantizing it
    gains (ms per call) and costs, and whether it was done. ``calibration`` is ``None`` where there
    was none. Where the quantization built inputs in, ``constants`` has their values by name.
    """
    import onnx

    model = onnx.load(path, load_external_data=False)
    graph = model.graph
    notes = {entry.key: entry.value for entry in model.metadata_props}

    def describe(value: Any) -> dict[str, Any]:
        tensor = value.type.tensor_type
        return {
            "name": value.name,
            "type": onnx.TensorProto.DataType.Name(tensor.elem_type).lower(),
            "shape": [d.dim_param or max(d.dim_value, 0) for d in tensor.shape.dim],
        }

    return {
        "inputs": [describe(value) for value in graph.input],
        "outputs": [describe(value) for value in graph.output],
        "fp32_layers": notes[FP32_LAYERS].splitlines() if FP32_LAYERS in notes else [],
        "calibration": notes.get(CALIBRATION),
        **({"placement": json.loads(notes[PLACEMENT])} if PLACEMENT in notes else {}),
        **({"constants": json.loads(notes[CONSTANTS])} if CONSTANTS in notes else {}),
    }
