"""Samples for the inputs of a model file: a person's own, or random ones."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paretune.runners.workload.model_file import (
    ModelInput,
    model_inputs,
    output_names,
    read_arrays,
)
from paretune.runners.workload.onnx_files.layout import Axis, Constant, Layout, placed
from paretune.spaces import ParetuneError

_SAMPLES = 64
"""Random samples that are made for a file without any: enough for some batches."""

_LARGEST_BYTES = 2**31
"""Largest random input that is made, in bytes; beyond it, a free size was probably set too
large.
"""


@dataclass(frozen=True)
class InputSettings:
    """What a person says of a model's inputs.

    Attributes:
        constants: The value of each input that is the same in every call, by name: a number or
            nested lists of numbers.
        batch_axes: The batch axis of inputs and outputs where it is not the first, by name;
            ``None`` for those that take one sample without an axis for it.
        shapes: The sizes of inputs with free dimensions, by name; that of the batch does not count.
        dimensions: The same for single dimensions, by their names or as ``INPUT:AXIS``.
    """

    constants: Mapping[str, Any] = field(default_factory=dict)
    batch_axes: Mapping[str, Axis] = field(default_factory=dict)
    shapes: Mapping[str, Sequence[int]] = field(default_factory=dict)
    dimensions: Mapping[str, int] = field(default_factory=dict)

    def check(self, path: Path, inputs: Sequence[ModelInput]) -> None:
        """Raise an error if a name is not that of an input, or a value does not fit it.

        Args:
            path: The model file.
            inputs: Its inputs.
        """
        known = {each.name: each for each in inputs}
        for option, given in (
            ("constant", self.constants),
            ("batch-axis", self.batch_axes),
            ("shape", self.shapes),
        ):
            allowed = [*known, *(output_names(path) if option == "batch-axis" else ())]
            for name in given:
                if name not in allowed:
                    raise ParetuneError(
                        f"--{option} names {name!r}, but the inputs of {path} are "
                        f"{', '.join(known)}"
                    )
        for name, shape in self.shapes.items():
            if not _fits(known[name].shape, shape, self.batch_axes.get(name, 0)):
                raise ParetuneError(
                    f"--shape says that {name!r} is {list(shape)}, but the model takes "
                    f"{list(known[name].shape)}"
                )
        free = [f"{each.name}:{place}" for each in inputs for place in _free(each)]
        named = {str(each.shape[place]) for each in inputs for place in _free(each)} - {""}
        for name in self.dimensions:
            if name not in (*free, *named):
                raise ParetuneError(
                    f"--dim names {name!r}, but the free dimensions of {path} are "
                    f"{', '.join([*sorted(named), *free]) or 'none'}"
                )
        for name, axis in self.batch_axes.items():
            if name in known and axis is not None and not 0 <= axis < len(known[name].shape):
                raise ParetuneError(
                    f"--batch-axis {name}={axis}: the model takes {list(known[name].shape)}, whose "
                    f"axes are 0 to {len(known[name].shape) - 1}"
                )


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
    constants = _constants(inputs, settings)
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
        if shape is not None and not _fits(shape, placed(samples[:1], axis).shape, axis):
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


def random_inputs(path: Path, batch_size: int, settings: InputSettings) -> GivenInputs:
    """Return random samples for the inputs of a model.

    Args:
        path: The model file.
        batch_size: Samples per call.
        settings: Sizes of free dimensions, constants and batch axes.

    Raises:
        ParetuneError: If a dimension has no size.
    """
    inputs = model_inputs(path)
    settings.check(path, inputs)
    constants = _constants(inputs, settings)
    rng = np.random.default_rng(0)
    samples = max(batch_size, _SAMPLES // batch_size * batch_size)
    arrays: dict[str, NDArray[Any]] = {}
    axes: dict[str, Axis] = {}
    for each in inputs:
        if each.name in constants:
            continue
        if not each.shape:
            raise ParetuneError(
                f"{path}: the input {each.name!r} is a single value: set it with --constant "
                f"{each.name}=VALUE"
            )
        axis = axes[each.name] = _random_axis(each, inputs, settings)
        arrays[each.name] = _random(each, axis, samples, settings, rng)
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


def _constants(inputs: Sequence[ModelInput], settings: InputSettings) -> dict[str, Constant]:
    found = {}
    for each in inputs:
        if each.name in settings.constants:
            array = np.asarray(settings.constants[each.name])
            wanted = tuple(size for size in each.shape if isinstance(size, int))
            if len(wanted) == len(each.shape) and array.size == math.prod(wanted):
                array = array.reshape(wanted)
            typed = array.astype(each.dtype)
            if array.ndim != len(each.shape) or (typed != array).any():
                raise ParetuneError(
                    f"--constant {each.name}={settings.constants[each.name]}: the model takes "
                    f"{each.dtype}{list(each.shape)}"
                )
            found[each.name] = Constant.of(typed)
    return found


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
        if _fits(each.shape, array.shape, axis):
            found.append((axis, np.moveaxis(array, axis, 0)))
    if array.ndim == rank + 1 and _fits(each.shape, array.shape[1:], None):
        found.append((None, array))
    if each.name not in settings.batch_axes:
        # Without a word, samples have no axis of their own only if the first is of another size.
        return [way for way in found if way[0] is not None or isinstance(each.shape[0], int)]
    known = settings.batch_axes[each.name]
    found = [way for way in found if way[0] == known]
    if (
        known
        and array.ndim == rank
        and _fits(each.shape, np.moveaxis(array, 0, known).shape, known)
    ):
        found.append((known, array))
    if known is not None and array.ndim == rank + 1 and array.shape[1 + known] == 1:
        single = array.reshape(array.shape[: 1 + known] + array.shape[2 + known :])
        if _fits(each.shape, array.shape[1:], known):
            found.append((known, single))
    return found


def _fits(wanted: Sequence[int | str], shape: Sequence[int], axis: Axis) -> bool:
    """Return whether a shape is one that a model takes, whatever the size of the batch axis."""
    return len(shape) == len(wanted) and all(
        place == axis or isinstance(want, str) or want == size
        for place, (want, size) in enumerate(zip(wanted, shape, strict=True))
    )


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
    if _fits(each.shape, array.shape[1:], None):
        hint = (
            f". If the model takes one sample per call, without an axis for it, add --batch-axis "
            f"{each.name}=none"
        )
    return (
        f"{data}: {each.name!r} is {array.dtype}{list(array.shape)}; the model takes "
        f"{each.dtype}{list(each.shape)}{hint}"
    )


def _random_axis(each: ModelInput, inputs: Sequence[ModelInput], settings: InputSettings) -> Axis:
    """Return the batch axis of an input of which nothing is known but the model's file.

    It is the first one, unless its size is fixed and a later one has the name of another input's
    first, or is the only free one.
    """
    if each.name in settings.batch_axes:
        return settings.batch_axes[each.name]
    if not isinstance(each.shape[0], int):
        return 0
    names = {other.shape[0] for other in inputs if other.shape} - {""}
    free = [axis for axis, size in enumerate(each.shape) if not isinstance(size, int)]
    same = [axis for axis in free if each.shape[axis] in names]
    has_free_batch = any(o.shape and not isinstance(o.shape[0], int) for o in inputs)
    if same:
        return same[0]
    return free[0] if len(free) == 1 and has_free_batch else 0


def _random(
    each: ModelInput,
    axis: Axis,
    samples: int,
    settings: InputSettings,
    rng: np.random.Generator,
) -> NDArray[Any]:
    sizes = []
    for place, size in enumerate(each.shape):
        if place == axis:
            continue
        shape, named = settings.shapes.get(each.name), f"{each.name}:{place}"
        if isinstance(size, int):
            sizes.append(size)
        elif shape is not None:
            sizes.append(shape[place])
        elif named in settings.dimensions:
            sizes.append(settings.dimensions[named])
        elif size in settings.dimensions:
            sizes.append(settings.dimensions[size])
        else:
            raise ParetuneError(
                f"input {each.name!r}: dimension {place} ({size or 'unnamed'}) is dynamic; set its "
                f"size with --dim {size or named}=SIZE, that of all with --shape {each.name}="
                f"{_example(each)}, or samples with --inputs FILE.npz"
            )
    shape = (samples, *sizes)
    if (size_bytes := math.prod(shape) * each.dtype.itemsize) > _LARGEST_BYTES:
        raise ParetuneError(
            f"input {each.name!r}: {samples} samples of shape {sizes} would take "
            f"{size_bytes / 2**30:,.0f} GiB; pass fewer with --inputs FILE.npz"
        )
    if np.issubdtype(each.dtype, np.floating):
        return rng.standard_normal(shape).astype(each.dtype)
    # Zeros and ones are valid for token ids, masks and segments alike.
    return rng.integers(0, 2, shape).astype(each.dtype)


def _free(each: ModelInput) -> list[int]:
    """Return the axes whose sizes are free."""
    return [place for place, size in enumerate(each.shape) if isinstance(size, str)]


def _example(each: ModelInput) -> str:
    """Return a shape as a person would write it, with a letter for each free size."""
    letters = iter("NHWLDT")
    return "x".join(str(s) if isinstance(s, int) else next(letters, "N") for s in each.shape)
