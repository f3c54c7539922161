"""Datasets whose samples are made one by one, and the rows of any dataset."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paretune.runners.workload.data import Batch, Dataset, Rows, default_names
from paretune.runners.workload.datasets.arrays import array_digest, check_finite, plain
from paretune.runners.workload.datasets.content import versioned_digest
from paretune.spaces import WorkloadError, digest


class Subset:
    """Some samples of a dataset, in any order.

    Args:
        whole: The dataset.
        rows: Which of its samples.
    """

    def __init__(self, whole: Dataset, rows: Rows) -> None:
        self.whole = whole
        self.rows = np.asarray(rows, np.int64)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def input_names(self) -> tuple[str, ...]:
        """Names of the inputs (see :class:`Dataset`)."""
        return self.whole.input_names

    @property
    def is_sequential(self) -> bool:
        """Whether it can be read from its start only (see :class:`Generated`)."""
        return bool(getattr(self.whole, "is_sequential", False))

    @cached_property
    def digest(self) -> str:
        """That of the dataset and of the rows."""
        return digest({"of": self.whole.digest, "rows": array_digest(self.rows)})

    def batches(self, size: int, rows: Rows | None = None) -> Iterator[Batch]:
        """Yield batches (see :class:`Dataset`)."""
        yield from self.whole.batches(size, self.rows if rows is None else self.rows[rows])

    def take(self, rows: Rows) -> Dataset:
        """Return a split of these samples."""
        return self.whole.take(self.rows[rows])


class IndexedDataset(ABC):
    """A dataset whose samples can be asked for by row; a subclass writes :meth:`sample`.

    Args:
        version: A text that changes when the samples do. Without it, every sample is read and
            hashed once in every process.
    """

    def __init__(self, version: str | None = None) -> None:
        self.version = version

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def sample(self, row: int) -> tuple[Any, Any]:
        """Return a sample's input (an array, several in a tuple, or a mapping) and its target."""

    def take(self, rows: Rows) -> Dataset:
        """Return a split of these samples."""
        return Subset(self, rows)

    def batches(self, size: int, rows: Rows | None = None) -> Iterator[Batch]:
        """Yield batches (see :class:`Dataset`)."""
        wanted = np.arange(len(self)) if rows is None else rows
        for start in range(0, len(wanted), size):
            yield collated([self.sample(int(row)) for row in wanted[start : start + size]])

    @cached_property
    def input_names(self) -> tuple[str, ...]:
        """Names of the inputs, from the first sample."""
        return tuple(next(iter(self.batches(1, np.arange(1)))).inputs)

    @cached_property
    def digest(self) -> str:
        """That of the version, or else of all samples."""
        return versioned_digest(self, self.version)


def collated(samples: Sequence[tuple[Any, Any]]) -> Batch:
    """Return a batch of single samples.

    Raises:
        WorkloadError: If their arrays differ in shape.
    """
    inputs = [named_inputs(each) for each, _ in samples]
    arrays = {name: _stacked([each[name] for each in inputs], name) for name in inputs[0]}
    return Batch(arrays, _together([target for _, target in samples]))


def named_inputs(value: Any) -> dict[str, NDArray[Any]]:
    """Return inputs by name: of a mapping, of a tuple or list in order, or of a single array."""
    if isinstance(value, Mapping):
        return {str(name): as_array(each) for name, each in value.items()}
    given = value if isinstance(value, tuple | list) else (value,)
    return dict(zip(default_names(len(given)), map(as_array, given), strict=True))


def as_array(value: Any) -> NDArray[Any]:
    """Return a tensor, an array, a number or nested lists of numbers as an array.

    Raises:
        WorkloadError: If it is something else, or a list of lists of different lengths.
    """
    if hasattr(value, "detach"):
        value = value.detach().cpu().numpy()
    try:
        array = np.asarray(value)
    except ValueError:
        array = np.empty(0, object)
    if array.dtype.hasobject or array.dtype.kind in "USV":
        raise WorkloadError(
            f"an input must be a tensor or an array of numbers of one shape; got "
            f"{type(value).__name__}: convert or pad it in the dataset's transform or collate_fn"
        )
    return plain(array)


def converted(inputs: Mapping[str, NDArray[Any]], targets: Any) -> Batch:
    """Return a batch as datasets give it, after checking its inputs.

    Raises:
        WorkloadError: If an input holds NaN or infinity.
    """
    for name, array in inputs.items():
        check_finite(array, name)
    return Batch(inputs, targets)


def as_targets(value: Any) -> Any:
    """Return targets with arrays in place of tensors, in mappings and lists too."""
    if hasattr(value, "detach"):
        return value.detach().cpu().numpy()
    if isinstance(value, Mapping):
        return {name: as_targets(each) for name, each in value.items()}
    if isinstance(value, tuple | list):
        return _together(list(value))
    return value


def _stacked(arrays: Sequence[NDArray[Any]], name: str) -> NDArray[Any]:
    shapes = {array.shape for array in arrays}
    if len(shapes) > 1:
        raise WorkloadError(
            f"samples of one batch have different shapes in {name!r}: "
            f"{', '.join(map(str, sorted(shapes)))}; resize or pad them to one shape"
        )
    stacked = np.stack(arrays)
    check_finite(stacked, name)
    return stacked


def _together(targets: list[Any]) -> Any:
    """Return targets of single samples as an array if they are of one shape, else as a list."""
    plain_targets = [as_targets(each) for each in targets]
    if all(isinstance(each, Mapping) for each in plain_targets):
        return plain_targets
    try:
        array = np.asarray(plain_targets)
    except ValueError:
        return plain_targets
    return plain_targets if array.dtype.hasobject else array
