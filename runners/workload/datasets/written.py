"""A split in files, written in one pass: so inputs and targets are of the same reading."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from paretune.runners.workload.data import Dataset, Rows
from paretune.runners.workload.datasets.stored_targets import write_targets
from paretune.spaces import WorkloadError

_BATCH = 256
"""Samples that are read and written at a time. Chosen by judgement."""


@dataclass(frozen=True)
class WrittenSamples:
    """The files of a split.

    Attributes:
        inputs: A ``.npy`` file for each input, by its name.
        targets: The targets (see ``write_targets``).
    """

    inputs: dict[str, Path]
    targets: Path


def chosen_rows(count: int, most: int | None) -> Rows | None:
    """Return ``most`` of so many samples, drawn over all of them, in order; ``None`` for all."""
    if most is None or most >= count:
        return None
    return np.sort(np.random.default_rng(0).permutation(count)[:most])


def write_samples(dataset: Dataset, folder: Path, rows: Rows | None = None) -> WrittenSamples:
    """Write inputs and targets, of which only a batch is in memory.

    Args:
        dataset: The split.
        folder: Where to write.
        rows: The samples to write; all by default.

    Raises:
        WorkloadError: If batches differ in shape or type.
    """
    count = len(dataset) if rows is None else len(rows)
    paths = {name: folder / f"input_{i}.npy" for i, name in enumerate(dataset.input_names)}
    targets = folder / "targets"
    with ExitStack() as stack:
        stream = stack.enter_context(targets.open("wb"))
        files = {
            name: _Rows(stack.enter_context(path.open("wb")), name, count)
            for name, path in paths.items()
        }
        for batch in dataset.batches(_BATCH, rows):
            for name, file in files.items():
                file.append(batch.inputs[name])
            write_targets(stream, batch.targets)
        for file in files.values():
            file.check()
    return WrittenSamples(paths, targets)


class _Rows:
    """A ``.npy`` file to which rows are appended; its header says how many there will be."""

    def __init__(self, stream: IO[bytes], name: str, count: int) -> None:
        self._stream, self._name, self._count = stream, name, count
        self._written = 0
        self._kind: tuple[Any, tuple[int, ...]] | None = None

    def append(self, array: NDArray[Any]) -> None:
        kind = array.dtype, array.shape[1:]
        if self._kind is None:
            self._kind = kind
            shape = (self._count, *array.shape[1:])
            head = {"descr": array.dtype.str, "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(self._stream, head)
            self._stream.flush()
        if kind != self._kind:
            raise WorkloadError(
                f"batches of the input {self._name!r} differ: {self._kind[0]}"
                f"{list(self._kind[1])} and {kind[0]}{list(kind[1])} per sample; resize or pad "
                "them to one shape"
            )
        np.ascontiguousarray(array).tofile(self._stream)
        self._written += len(array)

    def check(self) -> None:
        if self._written != self._count:
            raise WorkloadError(
                f"the split has {self._count} samples, but {self._written} were read"
            )
