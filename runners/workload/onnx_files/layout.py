"""Where the samples are in the inputs and outputs of a model file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Axis = int | None
"""The batch axis of an input or output; ``None`` where one sample has no axis for it."""


@dataclass(frozen=True)
class Constant:
    """An input that is the same in every call.

    Attributes:
        dtype: Its numpy dtype, by name.
        value: A number, or nested lists of numbers.
    """

    dtype: str
    value: Any

    @classmethod
    def of(cls, array: NDArray[Any]) -> Constant:
        """Return the constant of an array."""
        return cls(array.dtype.name, array.tolist())

    @property
    def array(self) -> NDArray[Any]:
        """The value as an array."""
        return np.array(self.value, np.dtype(self.dtype))


@dataclass(frozen=True)
class Layout:
    """How arrays of samples become the inputs of a call, and outputs become arrays of samples.

    The first axis of an array of samples is the sample. The default suits most models: inputs in
    the order of the arrays, the batch axis first, and every output judged.

    Attributes:
        inputs: The batch axis of each input that holds samples, in the order of their arrays;
            ``None`` if it takes one sample per call, without an axis for it. Empty: the model's
            inputs in its own order, with the batch axis first.
        constants: The other inputs, by name.
        outputs: The batch axis of each output that is judged, or ``None`` as for inputs. Empty: all
            outputs, with the batch axis first.
        shapes: Sizes of free dimensions that are fixed in the model's file, by input: the whole
            shape, in which the batch's size does not count.
    """

    inputs: Mapping[str, Axis] = field(default_factory=dict)
    constants: Mapping[str, Constant] = field(default_factory=dict)
    outputs: Mapping[str, Axis] = field(default_factory=dict)
    shapes: Mapping[str, Sequence[int]] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Layout:
        """Undo :meth:`as_dict`."""
        constants = {name: Constant(**each) for name, each in values["constants"].items()}
        return cls(values["inputs"], constants, values["outputs"], values.get("shapes", {}))

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return asdict(self)

    @property
    def fixed_sizes(self) -> dict[str, list[int | None]]:
        """The sizes to fix in the model's file, by input; ``None`` for the batch."""
        return {
            name: [
                None if place == self.inputs.get(name, 0) else n for place, n in enumerate(shape)
            ]
            for name, shape in self.shapes.items()
        }

    def feed(self, names: Sequence[str], arrays: Sequence[NDArray[Any]]) -> dict[str, Any]:
        """Return the inputs of one call by name, from a batch of samples of each.

        Args:
            names: Names of the model's inputs, in order. A constant that is not among them was
                built into the model.
            arrays: For each input that holds samples, an array whose first axis is the sample.
        """
        axes = self.inputs or {name: 0 for name in names if name not in self.constants}
        fed = {
            name: placed(array, axis)
            for (name, axis), array in zip(axes.items(), arrays, strict=True)
        }
        return fed | {name: each.array for name, each in self.constants.items() if name in names}


def placed(samples: NDArray[Any], axis: Axis) -> NDArray[Any]:
    """Return samples with the batch along an axis, contiguous; of a single one without an axis.

    Args:
        samples: The first axis is the sample; there is one sample if ``axis`` is ``None``.
        axis: Where the batch shall be.
    """
    array = samples[0] if axis is None else np.moveaxis(samples, 0, axis)
    return np.ascontiguousarray(array).reshape(array.shape)  # it would make a number an array


def unplaced(output: NDArray[Any], axis: Axis) -> NDArray[Any]:
    """Undo :func:`placed`: return an output with the sample along the first axis."""
    return output[None] if axis is None else np.moveaxis(output, axis, 0)
