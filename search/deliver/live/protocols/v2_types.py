"""Element types of the Open Inference Protocol (v2), as numpy calls them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_NUMPY = {
    "BOOL": "bool",
    "UINT8": "uint8",
    "UINT16": "uint16",
    "UINT32": "uint32",
    "UINT64": "uint64",
    "INT8": "int8",
    "INT16": "int16",
    "INT32": "int32",
    "INT64": "int64",
    "FP16": "float16",
    "FP32": "float32",
    "FP64": "float64",
}
_V2 = {numpy: name for name, numpy in _NUMPY.items()}


def v2_type(array: NDArray[Any]) -> str:
    """Return the protocol's name for the type of an array; text and bytes are ``BYTES``."""
    return _V2.get(array.dtype.name, "BYTES")


def numpy_name(v2_name: str) -> str | None:
    """Return the numpy dtype of a type of the protocol by name; ``None`` if numpy has none."""
    return _NUMPY.get(v2_name)


def numpy_dtype(v2_name: str) -> np.dtype[Any]:
    """Return the numpy dtype that holds a type of the protocol; objects if numpy has none."""
    return np.dtype(_NUMPY.get(v2_name, "object"))
