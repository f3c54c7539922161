"""The weights of an ONNX model: in its file, or in files beside it.

One file holds 2 GB at most, the limit of a protobuf message. So larger models have their weights in
other files ("external data"), and some exporters always put them there.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paretune.runners.failure import FailureKind, StageError
from paretune.runners.workload.model_file import read_graph

if TYPE_CHECKING:
    from onnx import ModelProto, TensorProto

MOST_BYTES = 2_000_000_000
"""The most weights that are kept in one file: 2 GiB less room for the rest of the model."""


_LEAST_BYTES = 1024
"""Smaller constants stay in the file: shapes and axes, which runtimes look at (onnx's default)."""


def external_files(path: Path) -> list[Path]:
    """Return the files that hold an ONNX file's weights outside of it.

    Raises:
        ParetuneError: If the file cannot be read.
    """
    from onnx.external_data_helper import ExternalDataInfo, uses_external_data

    tensors = [tensor for tensor in _tensors(read_graph(path)) if uses_external_data(tensor)]
    return sorted({path.parent / ExternalDataInfo(tensor).location for tensor in tensors})


def fits_one_file(model: ModelProto) -> bool:
    """Tell whether a model can be kept in one file, and so be passed on in memory."""
    return _weight_bytes(model.graph) <= MOST_BYTES


def check_fits_one_file(model: ModelProto) -> None:
    """Refuse a model for a tool that passes models on in memory.

    Raises:
        StageError: If it is too large.
    """
    if not fits_one_file(model):
        raise StageError(
            FailureKind.UNSUPPORTED,
            "of a model of more than 2 GB only fp32, fp16 and int8-dynamic can be made, with "
            "fp32_layer_share 0",
        )


def serialized(model: ModelProto) -> bytes:
    """Return a model as bytes.

    Raises:
        StageError: If it is too large.
    """
    check_fits_one_file(model)
    data: bytes = model.SerializeToString()
    return data


def save_onnx(model: ModelProto, path: Path, *, beside: bool = False) -> None:
    """Write a model in one file, or with the weights beside it, in ``PATH.data``.

    Args:
        model: The model, with all weights in memory. If they are written beside it, they are no
            longer in it afterwards.
        path: The file to write.
        beside: Whether to write the weights beside it even if one file could hold all.
    """
    import onnx
    from onnx.external_data_helper import set_external_data

    data = path.with_name(f"{path.name}.data")
    data.unlink(missing_ok=True)  # onnx appends to an old one
    if beside or not fits_one_file(model):
        # Not by onnx.save(save_as_external_data=True): it refuses the name of the data if the
        # current folder has a file of that name, such as the user's own.
        for tensor in _tensors(model.graph, in_attributes=False):
            if len(tensor.raw_data) >= _LEAST_BYTES:
                set_external_data(tensor, data.name)
    onnx.save(model, path)


def _weight_bytes(graph: Any) -> int:
    from onnx.helper import tensor_dtype_to_np_dtype

    return sum(
        math.prod(tensor.dims) * tensor_dtype_to_np_dtype(tensor.data_type).itemsize
        for tensor in _tensors(graph)
    )


def _tensors(graph: Any, *, in_attributes: bool = True) -> Iterator[TensorProto]:
    """Yield the constants of a graph and of the graphs inside its nodes."""
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if in_attributes and attribute.HasField("t"):
                yield attribute.t
            for inner in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else ())):
                yield from _tensors(inner, in_attributes=in_attributes)
