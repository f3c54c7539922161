"""The data of a workload: four splits that never mix, each read batch by batch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from paretune.runners.workload.datasets.arrays import (
    array_digest,
    check_finite,
    drop_pages,
    is_mapped,
    parts,
    plain,
)
from paretune.spaces import WorkloadError, digest

Rows = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Batch:
    """Some samples of a split.

    Attributes:
        inputs: An array for each of the model's inputs, by name. Its first axis is the sample, its
            bytes are contiguous and in this machine's order.
        targets: What is right for each sample: an array whose first axis is the sample, or whatever
            the workload's loss and metrics take.
    """

    inputs: Mapping[str, NDArray[Any]]
    targets: Any


class Dataset(Protocol):
    """Samples of a split, in a fixed order, of which only a batch has to be in memory.

    Attributes:
        input_names: Names of the model's inputs. Inputs without names are called ``input``,
            ``input_1``, …: a model is called with those by position, and with others by keyword.
        digest: Changes if a sample, a target or their order does. To know it, files whose size and
            time of change are the same as before are not read again.
    """

    @property
    def input_names(self) -> tuple[str, ...]:
        """Names of the inputs (see above)."""

    @property
    def digest(self) -> str:
        """The digest (see above)."""

    def __len__(self) -> int: ...

    def batches(self, size: int, rows: Rows | None = None) -> Iterator[Batch]:
        """Yield the samples in batches; the last one may be smaller.

        Args:
            size: Samples per batch.
            rows: The samples to yield, in this order and with repeats; all of them by default.
        """

    def take(self, rows: Rows) -> Dataset:
        """Return a split of these samples, in this order."""


def default_names(count: int) -> tuple[str, ...]:
    """Return the names of so many inputs that have none of their own."""
    return ("input", *(f"input_{place}" for place in range(1, count)))


def is_positional(names: Sequence[str]) -> bool:
    """Return whether a model takes inputs of these names by position, not by keyword."""
    return tuple(names) == default_names(len(names))


def first_batch(dataset: Dataset, size: int) -> Batch:
    """Return a dataset's first samples, at most ``size``."""
    return next(iter(dataset.batches(size, np.arange(min(size, len(dataset))))))


@dataclass(frozen=True, eq=False)
class Split:
    """Samples and their targets as arrays, in memory or memory-mapped files (``numpy.memmap``).

    Attributes:
        inputs: Array of shape (samples, ...), with the dtype that the model takes; or several such
            arrays by the names of the model's inputs, which is then called with keywords.
        targets: Array of shape (samples,) for classes (integers), or (samples, ...) for values; or
            several such arrays by name.
        further_inputs: Arrays for a model's other inputs, in the order of ``forward``.
    """

    inputs: Any
    targets: Any
    further_inputs: Sequence[NDArray[Any]] = ()

    def __post_init__(self) -> None:
        named = isinstance(self.inputs, Mapping)
        if named and (self.further_inputs or not self.inputs):
            raise WorkloadError(
                "inputs by name must hold every input of the model, and at least one: leave out "
                "further_inputs"
            )
        for name, array in self.arrays.items():
            _check_array(repr(name) if named else "inputs", array)
        for array in self._target_arrays.values():
            _check_array("targets", array)
        counts = {len(array) for array in self._target_arrays.values()}
        for name, array in self.arrays.items():
            if {len(array)} != counts:
                raise WorkloadError(
                    f"a split needs one target per sample; got {len(array)} inputs and "
                    f"{', '.join(map(str, sorted(counts)))} targets"
                )
            if not is_mapped(array):  # a file is looked through when its digest is made
                for part in parts(array):
                    check_finite(part, name)
        if len(self) == 0:
            raise WorkloadError("a split needs at least one sample; it has none")

    def __len__(self) -> int:
        return len(self.all_inputs[0])

    @property
    def arrays(self) -> dict[str, NDArray[Any]]:
        """The array of each of the model's inputs, by name."""
        if isinstance(self.inputs, Mapping):
            return dict(self.inputs)
        given = (self.inputs, *self.further_inputs)
        return dict(zip(default_names(len(given)), given, strict=True))

    @property
    def all_inputs(self) -> tuple[NDArray[Any], ...]:
        """The array of each of the model's inputs, in order."""
        return tuple(self.arrays.values())

    @property
    def _target_arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays of the targets; a single one is called ``targets``."""
        if isinstance(self.targets, Mapping):
            return {f"targets.{name}": array for name, array in self.targets.items()}
        return {"targets": self.targets}

    @property
    def input_names(self) -> tuple[str, ...]:
        """Names of the inputs (see :class:`Dataset`)."""
        return tuple(self.arrays)

    def batches(self, size: int, rows: Rows | None = None) -> Iterator[Batch]:
        """Yield batches (see :class:`Dataset`); of a memory-mapped file, one is in memory."""
        arrays = self.arrays
        for start in range(0, len(self) if rows is None else len(rows), size):
            part = slice(start, start + size) if rows is None else rows[start : start + size]
            inputs = {name: plain(array[part]) for name, array in arrays.items()}
            batch = Batch(inputs, self._targets(part))
            drop_pages(*arrays.values(), *self._target_arrays.values())
            yield batch

    def target_batches(self, size: int) -> Iterator[Any]:
        """Yield the targets alone, in batches."""
        for start in range(0, len(self), size):
            yield self._targets(slice(start, start + size))
            drop_pages(*self._target_arrays.values())

    def take(self, rows: Rows) -> Split:
        """Return the samples of these rows; they are copied into memory."""
        inputs = {name: array[rows] for name, array in self.arrays.items()}
        if isinstance(self.inputs, Mapping):
            return Split(inputs, self._targets(rows))
        first, *further = inputs.values()
        return Split(first, self._targets(rows), tuple(further))

    def _targets(self, part: Rows | slice) -> Any:
        if isinstance(self.targets, Mapping):
            return {name: plain(array[part]) for name, array in self.targets.items()}
        return plain(self.targets[part])

    @cached_property
    def digests(self) -> dict[str, str]:
        """SHA-256 of each array: dtype, shape and bytes.

        Raises:
            WorkloadError: If an input in a memory-mapped file holds NaN or infinity.
        """
        arrays = self.arrays
        if not isinstance(self.inputs, Mapping):
            arrays = dict(zip(_array_names(len(arrays)), arrays.values(), strict=True))
        found = {name: array_digest(array, name) for name, array in arrays.items()}
        return found | {name: array_digest(each) for name, each in self._target_arrays.items()}

    @property
    def digest(self) -> str:
        """Canonical SHA-256 of every array's name, dtype, shape and bytes."""
        return digest(self.digests)


@dataclass(frozen=True, eq=False)
class Data:
    """The four splits of a workload.

    Attributes:
        train: For training students and fine-tuning pruned models.
        calibration: For the ranges of static quantization.
        validation: For judging candidates during the search.
        test: For judging published points; the search never sees it.

    A split is a :class:`Split` or another :class:`Dataset`; datasets and loaders of PyTorch and
    Hugging Face are taken as they are.
    """

    train: Dataset
    calibration: Dataset
    validation: Dataset
    test: Dataset

    def __post_init__(self) -> None:
        from paretune.runners.workload.datasets.adapt import as_dataset

        for each in fields(self):
            object.__setattr__(self, each.name, as_dataset(getattr(self, each.name), each.name))

    @property
    def digest(self) -> str:
        """One digest of all four splits: a stage reads fewer of them, and each has its own."""
        found: dict[str, str] = {}
        for each in fields(self):
            split: Dataset = getattr(self, each.name)
            parts = split.digests if isinstance(split, Split) else {"samples": split.digest}
            found |= {f"{each.name}.{name}": value for name, value in parts.items()}
        return digest(found)


def _check_array(told: str, array: Any) -> None:
    if not isinstance(array, np.ndarray):
        raise WorkloadError(
            f"{told} of a split must be a numpy array; got {type(array).__name__}: convert it with "
            "numpy.asarray"
        )
    if array.dtype.hasobject:
        raise WorkloadError(
            f"{told} of a split must hold numbers; got an array of Python objects: give it a "
            "dtype, such as float32 or int64"
        )


def _array_names(count: int) -> list[str]:
    return ["inputs", *(f"inputs.{place}" for place in range(1, count))]
