"""The data of a workload: four splits that never mix."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paretune.spaces import WorkloadError, digest


@dataclass(frozen=True, eq=False)
class Split:
    """Samples and their targets.

    Attributes:
        inputs: Array of shape (samples, ...), with the dtype that the model takes.
        targets: Array of shape (samples,) for classes (integers), or (samples, ...) for values.
        further_inputs: Arrays for a model's other inputs, in the order of ``forward``.
    """

    inputs: NDArray[Any]
    targets: NDArray[Any]
    further_inputs: Sequence[NDArray[Any]] = ()

    def __post_init__(self) -> None:
        for name, array in (("targets", self.targets), *(("inputs", a) for a in self.all_inputs)):
            if not isinstance(array, np.ndarray):
                raise WorkloadError(
                    f"{name} of a split must be a numpy array; got "
                    f"{type(array).__name__}: convert it with numpy.asarray"
                )
            if array.dtype.hasobject:
                raise WorkloadError(
                    f"{name} of a split must hold numbers; got an array of Python objects: give it "
                    f"a dtype, such as float32 or int64"
                )
        for array in self.all_inputs:
            if len(array) != len(self.targets):
                raise WorkloadError(
                    f"a split needs one target per sample; got {len(array)} inputs and "
                    f"{len(self.targets)} targets"
                )
            if np.issubdtype(array.dtype, np.floating) and not np.isfinite(array).all():
                raise WorkloadError(
                    "the inputs of a split hold NaN or infinity: clean the data first"
                )
        if len(self.inputs) == 0:
            raise WorkloadError("a split needs at least one sample; it has none")

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def all_inputs(self) -> tuple[NDArray[Any], ...]:
        """The array of each of the model's inputs, in order."""
        return (self.inputs, *self.further_inputs)

    def take(self, rows: NDArray[np.int64]) -> "Split":
        """Return the samples of these rows."""
        further = tuple(array[rows] for array in self.further_inputs)
        return Split(self.inputs[rows], self.targets[rows], further)


@dataclass(frozen=True, eq=False)
class Data:
    """The four splits of a workload.

    Attributes:
        train: For training students and fine-tuning pruned models.
        calibration: For the ranges of static quantization.
        validation: For judging candidates during the search.
        test: For judging published points; the search never sees it.
    """

    train: Split
    calibration: Split
    validation: Split
    test: Split

    @property
    def digest(self) -> str:
        """Canonical SHA-256 of every array: dtype, shape and bytes."""
        arrays: dict[str, NDArray[Any]] = {}
        for field in fields(self):
            split: Split = getattr(self, field.name)
            arrays |= {f"{field.name}.inputs": split.inputs, f"{field.name}.targets": split.targets}
            for place, array in enumerate(split.further_inputs, start=1):
                arrays[f"{field.name}.inputs.{place}"] = array
        return digest({name: _array_digest(array) for name, array in arrays.items()})


def _array_digest(array: NDArray[Any]) -> str:
    little_endian = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False)
    head = f"{little_endian.dtype.str} {array.shape}".encode()
    return hashlib.sha256(head + little_endian.tobytes()).hexdigest()
