"""The model's tensors as the Open Inference Protocol (v2) names them."""

from __future__ import annotations

from typing import Any, Literal

from paretune.search.deliver.service.point import ServicePoint
from paretune.spaces import StudyError

V2_TYPES = {  # ONNX's element types
    "float": "FP32",
    "float16": "FP16",
    "bfloat16": "BF16",
    "double": "FP64",
    "int8": "INT8",
    "int16": "INT16",
    "int32": "INT32",
    "int64": "INT64",
    "uint8": "UINT8",
    "uint16": "UINT16",
    "uint32": "UINT32",
    "uint64": "UINT64",
    "bool": "BOOL",
    "string": "BYTES",
}


def v2_tensors(point: ServicePoint, kind: Literal["inputs", "outputs"]) -> list[dict[str, Any]]:
    """Return inputs, or the outputs that are judged, with types and shapes; -1 for any size.

    Raises:
        StudyError: If the protocol has no such type.
    """
    found = []
    for each in point.manifest["model"][kind]:
        if kind == "outputs" and each["name"] not in point.output_axes:
            continue
        if each["type"] not in V2_TYPES:
            raise StudyError(
                f"{each['name']!r} holds {each['type']}, which the Open Inference Protocol lacks; "
                f"it has {', '.join(V2_TYPES)}"
            )
        shape = [size if isinstance(size, int) and size > 0 else -1 for size in each["shape"]]
        datatype = V2_TYPES[each["type"]]
        found.append({"name": each["name"], "datatype": datatype, "shape": shape})
    return found
