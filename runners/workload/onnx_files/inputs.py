"""A person's samples for the inputs of a model file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paretune.runners.workload.model_file import (
    ModelInput,
    model_inputs,
    read_arrays,
)
from paretune.runners.workload.onnx_files.input_settings import InputSettings, fits
from paretune.runners.workload.onnx_files.layout import Axis, Constant, Layout, placed
from paretune.spaces import ParetuneError


@dataclass(frozen=True)
class GivenInputs:
    """Arrays for the inputs of a model.

    Attributes:
        arrays: Samples of each input that holds samples, by name; the first axis is the sample.
        layout: How they become the inputs of a call. It says nothing about outputs.
    """

    arrays: Mapping[str, NDArray[Any]]
    layout: Layout

    def __len__(self) -> int:
        return min((len(array) for array in self.arrays.values()), default=0)


def given_inputs(
    path: Path, data: Path, aside: str | None = None, settings: InputSettings | None = None
) -> GivenInputs:
    """Return a person's samples for the inputs of a model.

    An array has the axes of the model's input, with the samples along the batch axis. If that is
    not the first, the samples may also come first, with or without an axis of size 1 for the batch.
    An array of the shape of an input without a batch axis, such as a single number, is a constant.

    Args:
        path: The model file.
        data: An ``.npz`` file with one array per input, by name, or a folder of ``.npy`` files. For
            a model with one input, a file with one array of any name is enough (also ``.npy``).
        aside: Name of an array that is not an input.
        settings: What else is known of the inputs.

    Raises:
        ParetuneError: If the file cannot be read, or an array is missing or does not fit.
    """
    settings = settings or InputSettings()
    given = read_arrays(data)
    inputs = model_inputs(path)
    settings.check(path, inputs)
    constants = settings.constants_of(inputs)
    free = [each for each in inputs if each.name not in constants]
    others = [name for name in given if name != aside]
    if len(free) == 1 and len(others) == 1:
        given = {free[0].name: given[others[0]]}
    own = {each.name: _typed(each, _found(each, given, data), data) for each in free}
    count = _count(free, own, settings)
    arrays: dict[str, NDArray[Any]] = {}
    axes: dict[str, Axis] = {}
    for each in free:
        array = own[each.name]
        ways = _ways(each, array, settings)
        if array.shape == each.shape and not any(len(samples) == count for _, samples in ways):
            constants[each.name] = Constant.of(array)
            continue
        if not ways:
            raise ParetuneError(_misfit(each, array, data))
        axis, samples = min(ways, key=lambda way: len(way[1]) != count)
        shape = settings.shapes.get(each.name)
        if shape is not None and not fits(shape, placed(samples[:1], axis).shape, axis):
            raise ParetuneError(
                f"{data}: {each.name!r} is {list(array.shape)}, but --shape says {list(shape)}"
            )
        arrays[each.name], axes[each.name] = samples, axis
    if not arrays:
        raise ParetuneError(
            f"{path} has no input that holds samples, so it cannot be run on samples"
        )
    shapes = {name: [*shape] for name, shape in settings.shapes.items()}
    return GivenInputs(arrays, Layout(axes, constants, shapes=shapes))


def fixed_batch(inputs: Sequence[ModelInput], layout: Layout) -> int | None:
    """Return the only batch size that a model takes, or ``None`` if it takes any size."""
    axes = layout.inputs or {each.name: 0 for each in inputs if each.shape}
    if None in axes.values():
        return 1
    named = {each.name: each.shape for each in inputs}
    sizes = {named[name][axis] for name, axis in axes.items() if name in named and axis is not None}
    fixed = {size for size in sizes if isinstance(size, int)}
    return fixed.pop() if len(fixed) == 1 else None


def check_batch(path: Path, layout: Layout, batch_size: int) -> None:
    """Raise an error if a model takes batches of another size only.

    Raises:
        ParetuneError: If so.
    """
    for each in model_inputs(path):
        axis = layout.inputs.get(each.name, 0)
        size: int | str = 1 if axis is None else each.shape[axis] if each.shape else ""
        if each.name in layout.inputs and isinstance(size, int) and size != batch_size:
            raise ParetuneError(
                f"{path}: input {each.name!r} takes batches of {size} only; got batch size "
                f"{batch_size}: use --batch-size {size}, export the model with a dynamic batch "
                "axis, or name another axis with --batch-axis"
            )


def _found(each: ModelInput, given: Mapping[str, NDArray[Any]], data: Path) -> NDArray[Any]:
    if each.name not in given:
        hint = "" if each.shape else f": set it with --constant {each.name}=VALUE"
        raise ParetuneError(f"{data} has no array {each.name!r}; it has {', '.join(given)}{hint}")
    return given[each.name]


def _count(
    inputs: Sequence[ModelInput], arrays: Mapping[str, NDArray[Any]], settings: InputSettings
) -> int | None:
    """Return the number of samples: that of the first input which leaves little doubt."""
    found = []
    for each in inputs:
        for axis, samples in _ways(each, arrays[each.name], settings):
            size = None if axis is None else each.shape[axis]
            is_given = each.name in settings.batch_axes
            # A free first axis; one that is known; one whose fixed size is not that of the array.
            doubt = 0 if is_given or (axis == 0 and not isinstance(size, int)) else 1
            found.append((doubt + (size == len(samples)), len(samples)))
    return min(found, key=lambda each: each[0])[1] if found else None


def _ways(
    each: ModelInput, array: NDArray[Any], settings: InputSettings
) -> list[tuple[Axis, NDArray[Any]]]:
    """Return the ways to see samples in an array: the batch axis, and the samples in front.

    The likeliest comes first; with a batch axis that is known there is only that.
    """
    rank, found = len(each.shape), list[tuple[Axis, NDArray[Any]]]()
    for axis in range(min(rank, array.ndim)):
        if fits(each.shape, array.shape, axis):
            found.append((axis, np.moveaxis(array, axis, 0)))
    if array.ndim == rank + 1 and fits(each.shape, array.shape[1:], None):
        found.append((None, array))
    if each.name not in settings.batch_axes:
        # Without a word, samples have no axis of their own only if the first is of another size.
        return [way for way in found if way[0] is not None or isinstance(each.shape[0], int)]
    known = settings.batch_axes[each.name]
    found = [way for way in found if way[0] == known]
    if known and array.ndim == rank and fits(each.shape, np.moveaxis(array, 0, known).shape, known):
        found.append((known, array))
    if known is not None and array.ndim == rank + 1 and array.shape[1 + known] == 1:
        single = array.reshape(array.shape[: 1 + known] + array.shape[2 + known :])
        if fits(each.shape, array.shape[1:], known):
            found.append((known, single))
    return found


def _typed(each: ModelInput, array: NDArray[Any], data: Path) -> NDArray[Any]:
    """Return an array in the type that a model takes, if that loses nothing but precision."""
    if array.dtype == each.dtype:
        return array
    kinds = {array.dtype.kind, each.dtype.kind}
    if len(kinds) == 1 or kinds <= {"i", "u"}:
        narrow = array.astype(each.dtype)
        if array.dtype.kind != "f" and (narrow != array).any():
            raise ParetuneError(f"{data}: {each.name!r} has values too large for {each.dtype}")
        return narrow
    raise ParetuneError(_misfit(each, array, data))


def _misfit(each: ModelInput, array: NDArray[Any], data: Path) -> str:
    hint = ""
    if fits(each.shape, array.shape[1:], None):
        hint = (
            f". If the model takes one sample per call, without an axis for it, add --batch-axis "
            f"{each.name}=none"
        )
    return (
        f"{data}: {each.name!r} is {array.dtype}{list(array.shape)}; the model takes "
        f"{each.dtype}{list(each.shape)}{hint}"
    )
