"""A single model file: its inputs, and data for them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paretune.spaces import ParetuneError

FP32_LAYERS = "paretune.fp32_layers"
"""The key in an ONNX file's metadata for the layers left in fp32, one per line."""

CALIBRATION = "paretune.calibration"
"""The key for the calibration of static int8."""

_SAMPLES = 64
"""Random samples that are made for a file without any: enough for some batches."""

_LARGEST_BYTES = 2**31
"""Largest random input that is made, in bytes; beyond it, a free size was probably set too
large.
"""


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


def model_output(path: Path) -> ModelInput:
    """Return name, element type and shape of an ONNX file's first output.

    Raises:
        ParetuneError: If the file cannot be read, or that output is not a numeric tensor.
    """
    outputs = read_graph(path).output
    if not outputs:
        raise ParetuneError(f"{path} has no output")
    return model_tensor(outputs[0])


def fixed_batch(path: Path) -> int | None:
    """Return the only batch size that a model file takes, or ``None`` if it takes any size."""
    sizes = {each.shape[0] for each in model_inputs(path) if each.shape}
    size = sizes.pop() if len(sizes) == 1 else None
    return size if isinstance(size, int) else None


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


def given_inputs(path: Path, data: Path, aside: str | None = None) -> list[NDArray[Any]]:
    """Return an array of samples for each input of a model, in order, from a file of arrays.

    Args:
        path: The model file.
        data: An ``.npz`` file with one array per input, by name. For a model with one input, a file
            with one array of any name is enough (also ``.npy``).
        aside: Name of an array that is not an input.

    Raises:
        ParetuneError: If the file cannot be read, or an array is missing or does not fit.
    """
    given = read_arrays(data)
    inputs = model_inputs(path)
    if not inputs:
        raise ParetuneError(f"{path} has no input, so it cannot be run on samples")
    others = [name for name in given if name != aside]
    if len(inputs) == 1 and len(others) == 1:
        given = {inputs[0].name: given[others[0]]}
    return [_given(each, given, data) for each in inputs]


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Return the arrays of an ``.npz`` file by name; the array of an ``.npy`` file has no name.

    Raises:
        ParetuneError: If it is missing or not such a file; nothing in it is unpickled.
    """
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return {"": loaded}
        with loaded:
            return dict(loaded)
    except FileNotFoundError as error:
        raise ParetuneError(f"there is no file {path}") from error
    except Exception as error:
        raise ParetuneError(
            f"{path} is not a readable .npz or .npy file of numbers: {error}"
        ) from error


def write_inputs(
    path: Path,
    folder: Path,
    batch_size: int,
    *,
    data: Path | None = None,
    dimensions: Mapping[str, int] | None = None,
) -> list[Path]:
    """Write a ``.npy`` file of samples for each input of a model, in order.

    Args:
        path: The ONNX file.
        folder: Where to write.
        batch_size: Samples per call; must equal a model's fixed first dimension.
        data: An ``.npz`` file with one array of samples per input; random samples by default.
        dimensions: Sizes of dynamic dimensions other than the first, by name.

    Raises:
        ParetuneError: If the data does not fit, or a dimension has no size.
    """
    inputs = model_inputs(path)
    given = dict(np.load(data)) if data else {}
    rng = np.random.default_rng(0)
    paths = []
    for index, each in enumerate(inputs):
        _check_batch(path, each, batch_size)
        if data:
            array = _given(each, given, data)
        else:
            samples = max(batch_size, _SAMPLES // batch_size * batch_size)
            array = _random(each, samples, dimensions or {}, rng)
        paths.append(folder / f"input_{index}.npy")
        np.save(paths[-1], array)
    return paths


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
    if any(d.dim_value < 0 for d in tensor.shape.dim):
        raise ParetuneError(f"{value.name!r} has a negative dimension")
    dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type))
    shape = tuple(d.dim_value or d.dim_param for d in tensor.shape.dim)
    return ModelInput(value.name, dtype, shape)


def _check_batch(path: Path, each: ModelInput, batch_size: int) -> None:
    if not each.shape:
        raise ParetuneError(f"{path}: input {each.name!r} has no batch axis: it is a single value")
    first = each.shape[0]
    if isinstance(first, int) and first != batch_size:
        raise ParetuneError(
            f"{path}: input {each.name!r} takes batches of {first} only; got batch size "
            f"{batch_size}: use --batch-size {first}, or export the model with a dynamic batch "
            "axis"
        )


def _given(each: ModelInput, given: Mapping[str, NDArray[Any]], data: Path) -> NDArray[Any]:
    if each.name not in given:
        raise ParetuneError(f"{data} has no array {each.name!r}; it has {', '.join(given)}")
    array = given[each.name]
    fits = len(array.shape) == len(each.shape) and all(
        isinstance(want, str) or want == size
        for want, size in zip(each.shape[1:], array.shape[1:], strict=False)
    )
    if array.dtype.kind == each.dtype.kind:
        narrow = array.astype(each.dtype, copy=False)
        if array.dtype.kind != "f" and (narrow != array).any():
            raise ParetuneError(f"{data}: {each.name!r} has values too large for {each.dtype}")
        array = narrow
    if array.dtype != each.dtype or not fits:
        lacks_batch = array.shape[1:] == each.shape
        hint = ". The model has no batch axis: export it with one, for one sample after the other"
        raise ParetuneError(
            f"{data}: {each.name!r} is {array.dtype}{list(array.shape)}; the model takes "
            f"{each.dtype}{list(each.shape)}{hint if lacks_batch else ''}"
        )
    return array


def _random(
    each: ModelInput, samples: int, dimensions: Mapping[str, int], rng: np.random.Generator
) -> NDArray[Any]:
    sizes = []
    for axis, size in enumerate(each.shape[1:], start=1):
        if isinstance(size, str) and size not in dimensions:
            raise ParetuneError(
                f"input {each.name!r}: dimension {axis} ({size or 'unnamed'}) is dynamic; set its "
                f"size with --dim {size or 'NAME'}=SIZE, or samples with --inputs FILE.npz"
            )
        sizes.append(dimensions[size] if isinstance(size, str) else size)
    shape = (samples, *sizes)
    if (size_bytes := math.prod(shape) * each.dtype.itemsize) > _LARGEST_BYTES:
        raise ParetuneError(
            f"input {each.name!r}: {samples} samples of shape {sizes} would take "
            f"{size_bytes / 2**30:,.0f} GiB; pass fewer with --inputs FILE.npz"
        )
    if np.issubdtype(each.dtype, np.floating):
        return rng.standard_normal(shape).astype(each.dtype)
    if each.dtype == np.bool_:
        return rng.integers(0, 2, shape).astype(each.dtype)
    # Zeros and ones are valid for token ids, masks and segments alike.
    return rng.integers(0, 2, shape).astype(each.dtype)
