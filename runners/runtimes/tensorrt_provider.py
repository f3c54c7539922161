"""ONNX Runtime's TensorRT provider: its precision follows the file, and its engines are kept."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

_CHUNK_BYTES = 1 << 20
"""Bytes of a file read at once."""


def tensorrt_options(model: Path) -> dict[str, str]:
    """Return the provider's options for an ONNX file.

    TensorRT computes in a lower precision only where it is allowed to. A flag for the whole runner
    would give the fp32 candidate fp16 arithmetic, so each flag is set if the file has numbers of
    that type: fp16 and bf16 weights, or int8 quantization.

    Engines and the times of their kernels are kept by the file's digest: every launch after the
    first loads the same engine, so that launches differ by the machine and not by the choice of
    kernels.
    """
    folder = str(engines() / _file_digest(model))
    kept = {
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": folder,
        "trt_timing_cache_enable": "1",
        "trt_timing_cache_path": folder,
    }
    flags = {f"trt_{name}_enable": "1" for name in sorted(precisions(model))}
    return kept | flags


def precisions(model: Path) -> set[str]:
    """Return which of ``fp16``, ``bf16`` and ``int8`` an ONNX file computes in, besides fp32.

    A file that cannot be read has none: the runtime says what is wrong with it.
    """
    import onnx

    try:
        graph = onnx.load(model, load_external_data=False).graph
    except Exception:
        return set()
    types = onnx.TensorProto
    names = {types.FLOAT16: "fp16", types.BFLOAT16: "bf16"}
    found = {names[each.data_type] for each in graph.initializer if each.data_type in names}
    quantizers = ("QuantizeLinear", "DequantizeLinear")
    if any(node.op_type in quantizers for node in graph.node):
        found.add("int8")
    return found


def batch_dimensions(
    model: Path, batch_size: int, axes: Mapping[str, int | None] = MappingProxyType({})
) -> dict[str, int]:
    """Return the size of each free dimension that counts samples, by its name in an ONNX file.

    Args:
        model: The file.
        batch_size: Samples per call.
        axes: The batch axis of inputs where it is not the first.
    """
    import onnx

    try:
        graph = onnx.load(model, load_external_data=False).graph
    except Exception:
        return {}
    weights = {tensor.name for tensor in graph.initializer}
    found: dict[str, int] = {}
    for value in graph.input:
        dimensions: Any = value.type.tensor_type.shape.dim
        axis = axes.get(value.name, 0)
        if value.name in weights or axis is None or axis >= len(dimensions):
            continue
        if dimensions[axis].dim_param:
            found[dimensions[axis].dim_param] = batch_size
    return found


def engines() -> Path:
    """Return the folder of kept engines, in the user's cache."""
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "paretune" / "engines"


def _file_digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
