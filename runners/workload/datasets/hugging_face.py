"""Data of Hugging Face ``datasets``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from paretune.runners.workload.data import Batch, Dataset, Rows
from paretune.runners.workload.datasets.indexed import as_array, as_targets, converted
from paretune.spaces import WorkloadError, digest

_TARGETS = ("labels", "label", "target")
"""Columns that hold the targets by custom; the first that is there is taken."""


class HuggingFaceData:
    """A ``datasets.Dataset``, tokenized or otherwise turned into numbers of one shape.

    Its digest is the fingerprint that the library itself keeps.

    Args:
        dataset: The dataset.
        inputs: The columns that are the model's inputs, by which it is called; all columns of
            numbers but the target by default.
        target: The column of targets; ``labels``, ``label`` or ``target`` by default.
    """

    def __init__(
        self, dataset: Any, inputs: Sequence[str] | None = None, target: str | None = None
    ) -> None:
        columns = list(dataset.column_names)
        found = target or next((name for name in _TARGETS if name in columns), None)
        if found not in columns:
            raise WorkloadError(
                f"the dataset has the columns {', '.join(columns)}: name the targets, "
                "HuggingFaceData(dataset, target=NAME)"
            )
        self._target = found
        self.input_names = tuple(inputs or self._columns_of_numbers(dataset, columns))
        if missing := [name for name in self.input_names if name not in columns]:
            raise WorkloadError(
                f"the dataset has no column {missing[0]!r}, but {', '.join(columns)}"
            )
        is_transformed = dataset.format.get("type") == "custom"
        self._dataset = dataset if is_transformed else dataset.with_format("numpy")

    def __len__(self) -> int:
        return len(self._dataset)

    @property
    def digest(self) -> str:
        """The library's fingerprint, with the columns."""
        return digest(
            {
                "fingerprint": self._dataset._fingerprint,
                "format": str(self._dataset.format.get("type")),
                "columns": [*self.input_names, self._target],
                "samples": len(self),
            }
        )

    def batches(self, size: int, rows: Rows | None = None) -> Iterator[Batch]:
        """Yield batches (see :class:`Dataset`)."""
        wanted = np.arange(len(self)) if rows is None else rows
        for start in range(0, len(wanted), size):
            read = self._dataset[wanted[start : start + size].tolist()]
            inputs = {name: as_array(read[name]) for name in self.input_names}
            yield converted(inputs, as_targets(read[self._target]))

    def take(self, rows: Rows) -> Dataset:
        """Return a split of these samples."""
        return HuggingFaceData(self._dataset.select(rows.tolist()), self.input_names, self._target)

    def _columns_of_numbers(self, dataset: Any, columns: Sequence[str]) -> list[str]:
        found = []
        for name in columns:
            kind = dataset.features[name]
            while hasattr(kind, "feature"):
                kind = kind.feature
            is_number = getattr(kind, "dtype", "string") not in ("string", "large_string", "binary")
            if name != self._target and is_number:
                found.append(name)
        return found
