"""What a person says of the inputs of a model file."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from paretune.runners.workload.model_file import ModelInput, output_names
from paretune.runners.workload.onnx_files.layout import Axis, Constant
from paretune.spaces import ParetuneError


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
            if not fits(known[name].shape, shape, self.batch_axes.get(name, 0)):
                raise ParetuneError(
                    f"--shape says that {name!r} is {list(shape)}, but the model takes "
                    f"{list(known[name].shape)}"
                )
        free = [f"{each.name}:{place}" for each in inputs for place in free_axes(each)]
        named = {str(each.shape[place]) for each in inputs for place in free_axes(each)} - {""}
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

    def constants_of(self, inputs: Sequence[ModelInput]) -> dict[str, Constant]:
        """Return the constant inputs, by name, as the model takes them.

        Raises:
            ParetuneError: If a value does not fit its input.
        """
        found = {}
        for each in inputs:
            if each.name in self.constants:
                array = np.asarray(self.constants[each.name])
                wanted = tuple(size for size in each.shape if isinstance(size, int))
                if len(wanted) == len(each.shape) and array.size == math.prod(wanted):
                    array = array.reshape(wanted)
                typed = array.astype(each.dtype)
                if array.ndim != len(each.shape) or (typed != array).any():
                    raise ParetuneError(
                        f"--constant {each.name}={self.constants[each.name]}: the model takes "
                        f"{each.dtype}{list(each.shape)}"
                    )
                found[each.name] = Constant.of(typed)
        return found


def fits(wanted: Sequence[int | str], shape: Sequence[int], axis: Axis) -> bool:
    """Return whether a shape is one that a model takes, whatever the size of the batch axis."""
    return len(shape) == len(wanted) and all(
        place == axis or isinstance(want, str) or want == size
        for place, (want, size) in enumerate(zip(wanted, shape, strict=True))
    )


def free_axes(each: ModelInput) -> list[int]:
    """Return the axes whose sizes are free."""
    return [place for place, size in enumerate(each.shape) if isinstance(size, str)]
