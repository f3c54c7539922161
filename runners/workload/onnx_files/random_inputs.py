"""Random samples for the inputs of a model file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paretune.runners.workload.model_file import ModelInput, model_inputs
from paretune.runners.workload.onnx_files.input_settings import InputSettings
from paretune.runners.workload.onnx_files.inputs import GivenInputs
from paretune.runners.workload.onnx_files.layout import Axis, Layout
from paretune.spaces import ParetuneError

_SAMPLES = 64
"""Random samples that are made for a file without any: enough for some batches."""

_LARGEST_BYTES = 2**31
"""Largest random input that is made, in bytes; beyond it, a free size was probably set too
large.
"""


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
    constants = settings.constants_of(inputs)
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


def _example(each: ModelInput) -> str:
    """Return a shape as a person would write it, with a letter for each free size."""
    letters = iter("NHWLDT")
    return "x".join(str(s) if isinstance(s, int) else next(letters, "N") for s in each.shape)
