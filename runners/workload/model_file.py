"""A single model file: its inputs and outputs, and files of arrays."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paretune.spaces import ParetuneError

FP32_LAYERS = "paretune.fp32_layers"
"""The key in an ONNX file's metadata for the layers left in fp32, one per line."""

PLACEMENT = "paretune.placement"
"""The key for why: what quantizing each of them would gain and cost, as JSON."""

CALIBRATION = "paretune.calibration"
"""The key for the calibration of static int8."""

CONSTANTS = "paretune.constants"
"""The key for the inputs that were built into the file: their values by name, as JSON."""

_MAPPED_BYTES = 2**28
"""Larger files of an array are not read into memory."""


@dataclass(frozen=True)
class ModelInput:
    """One input of a model.

    Attributes:
        name: Its name.
        dtype: Its numpy dtype.
        shape: Its dimensions: a size, or the name of a dynamic one (empty if it has none).
    """

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int | str, ...]


def model_inputs(path: Path) -> list[ModelInput]:
    """Return the inputs of a model file, without inputs that are weights.

    Args:
        path: An ONNX file, or an exported program of PyTorch (``.pt2``).

    Raises:
        ParetuneError: If it is missing or neither, or an input is not a numeric tensor.
    """
    if path.suffix == ".pt2":
        return _program_inputs(path)
    graph = read_graph(path)
    weights = {tensor.name for tensor in graph.initializer}
    return [model_tensor(value) for value in graph.input if value.name not in weights]


def model_outputs(path: Path) -> list[ModelInput]:
    """Return name, element type and shape of an ONNX file's outputs that are tensors of numbers.

    Raises:
        ParetuneError: If the file cannot be read, or has no such output.
    """
    outputs = read_graph(path).output
    found = [model_tensor(value) for value in outputs if is_numeric(value)]
    if not found:
        raise ParetuneError(
            f"{path} has no output that is a tensor of numbers; its outputs are "
            f"{', '.join(value.name for value in outputs) or 'none'}"
        )
    return found


def output_names(path: Path) -> list[str]:
    """Return the names of a model file's outputs; an exported program of PyTorch has none."""
    return [] if path.suffix == ".pt2" else [value.name for value in read_graph(path).output]


def read_graph(path: Path) -> Any:
    """Return the graph of an ONNX file, without weights that lie beside it.

    Raises:
        ParetuneError: If the file cannot be read.
    """
    import onnx

    try:
        return onnx.load(path, load_external_data=False).graph
    except FileNotFoundError as error:
        raise ParetuneError(f"there is no file {path}") from error
    except Exception as error:
        raise ParetuneError(f"{path} is not a readable ONNX file: {error}") from error


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Return the arrays of an ``.npz`` file, or of the ``.npy`` files in a folder, by name.

    The array of a single ``.npy`` file has no name. A large one is memory-mapped, because it may be
    larger than memory.

    Raises:
        ParetuneError: If it is missing or not such a file; nothing in it is unpickled.
    """
    try:
        if path.is_dir():
            files = sorted(path.glob("*.npy"))
            found = {file.stem: _read_array(file) for file in files}
            if not found:
                raise ParetuneError(f"the folder {path} has no .npy file")
            return found
        loaded = _read_array(path)
        if isinstance(loaded, np.ndarray):
            return {"": loaded}
        with loaded:
            return dict(loaded)
    except FileNotFoundError as error:
        raise ParetuneError(f"there is no file {path}") from error
    except ParetuneError:
        raise
    except Exception as error:
        # numpy takes what it does not know for a pickle, and tells how to load that unsafely.
        is_pickle = "pickle" in str(error)
        reason = "it holds Python objects, or another kind of file" if is_pickle else error
        raise ParetuneError(
            f"{path} is not a readable .npz or .npy file of numbers: {reason}; write one with "
            "numpy.savez(FILE, NAME=ARRAY)"
        ) from error


def _read_array(path: Path) -> Any:
    is_large = path.suffix == ".npy" and path.stat().st_size > _MAPPED_BYTES
    return np.load(path, mmap_mode="r" if is_large else None, allow_pickle=False)


def _program_inputs(path: Path) -> list[ModelInput]:
    import torch

    if not path.is_file():
        raise ParetuneError(f"there is no file {path}")
    try:
        program = torch.export.load(path)
    except Exception as error:
        raise ParetuneError(f"{path} is not a readable exported program: {error}") from error
    wanted = set(program.graph_signature.user_inputs)
    tensors = {
        node.name: node.meta["val"]
        for node in program.graph.nodes
        if node.op == "placeholder" and node.name in wanted
    }
    return [
        ModelInput(
            name,
            torch.empty(0, dtype=tensor.dtype).numpy().dtype,
            tuple(size if isinstance(size, int) else str(size) for size in tensor.shape),
        )
        for name, tensor in tensors.items()
    ]


def is_numeric(value: Any) -> bool:
    """Tell whether a graph's input or output is a tensor of numbers."""
    import onnx

    kind, types = value.type.tensor_type.elem_type, onnx.TensorProto
    is_tensor = value.type.WhichOneof("value") == "tensor_type"
    return is_tensor and kind not in (types.UNDEFINED, types.STRING)


def model_tensor(value: Any) -> ModelInput:
    """Return name, element type and shape of a graph's input or output."""
    import onnx

    tensor = value.type.tensor_type
    kind = value.type.WhichOneof("value")
    types = onnx.TensorProto.DataType
    if kind != "tensor_type" or tensor.elem_type not in types.values():
        raise ParetuneError(f"{value.name!r} is a {kind or 'value'}, not a tensor of known type")
    if tensor.elem_type in (types.UNDEFINED, types.STRING):
        named = types.Name(tensor.elem_type).lower()
        raise ParetuneError(f"{value.name!r} is a tensor of type {named}; it must hold numbers")
    dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type))
    # A size below zero stands for a free one in files of paddle2onnx.
    shape = tuple(d.dim_value if d.dim_value > 0 else d.dim_param for d in tensor.shape.dim)
    return ModelInput(value.name, dtype, shape)
