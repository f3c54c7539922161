"""Metrics of one's own: a function of whole arrays, or a metric of torchmetrics."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from paretune.runners.workload.metrics.metric import Outputs
from paretune.runners.workload.outputs import only_or_all
from paretune.spaces import WorkloadError

_IN_MEMORY_BYTES = 2**28
"""Outputs beyond this size are kept in a file until the function is called, and are not drawn again
for an interval: each of 200 draws would be a copy. Chosen by judgement.
"""


class WholeMetric:
    """A function of all outputs and targets, such as a workload's own ``quality``.

    The function is given the outputs as one array, or as a mapping if the model has several. If
    they are large, they are a memory-mapped file.

    Args:
        function: Takes outputs and targets, first axis the sample; returns a number.
        name: The name under which it is recorded.
        higher_is_better: Its direction.
    """

    def __init__(
        self, function: Callable[[Any, Any], float], name: str, *, higher_is_better: bool = True
    ) -> None:
        self.function = function
        self.name = name
        self.higher_is_better = higher_is_better
        self._outputs: dict[str, GrowingArray] = {}
        self._targets: list[Any] = []

    def update(self, outputs: Outputs, targets: Any) -> None:
        """Keep a batch."""
        for name, array in outputs.items():
            self._outputs.setdefault(name, GrowingArray(name)).append(np.asarray(array))
        self._targets.append(targets)

    def compute(self) -> float:
        """Call the function on everything."""
        return self._call(None)

    def resampled(self, rows: NDArray[np.int64]) -> float:
        """Call the function on some samples, with repeats.

        Raises:
            WorkloadError: If the outputs are too large to be copied for that.
        """
        if any(each.is_large for each in self._outputs.values()):
            raise WorkloadError(f"outputs are too large to resample {self.name}")
        return self._call(rows)

    def _call(self, rows: NDArray[np.int64] | None) -> float:
        if not self._targets:
            raise WorkloadError(f"the metric {self.name} was given no sample")
        outputs = {name: each.whole() for name, each in self._outputs.items()}
        targets = joined(self._targets)
        if rows is not None:
            outputs = {name: each[rows] for name, each in outputs.items()}
            targets = picked(targets, rows)
        value = self.function(only_or_all(outputs), targets)
        if isinstance(value, bool) or not isinstance(value, int | float | np.number):
            raise WorkloadError(f"{self.name} must return a number; got {type(value).__name__}")
        return float(value)


class FromTorchmetrics:
    """A metric of torchmetrics, or of anybody's with tensors for ``update`` and ``compute``.

    Args:
        metric: The metric, such as ``torchmetrics.classification.BinaryAUROC()``.
        name: The name under which it is recorded; its class's name by default.
        output: Which of the model's outputs it judges; the first if ``None``.
    """

    def __init__(self, metric: Any, name: str | None = None, output: str | None = None) -> None:
        self.metric = metric
        self.name = name or type(metric).__name__
        self.output = output
        better = getattr(metric, "higher_is_better", None)
        self.higher_is_better = True if better is None else bool(better)
        self._is_empty = True

    def update(self, outputs: Outputs, targets: Any) -> None:
        """Give it a batch as tensors."""
        import torch

        given = torch.from_numpy(np.asarray(outputs[self.output or next(iter(outputs))]))
        self.metric.update(given, torch.as_tensor(targets))
        self._is_empty = False

    def compute(self) -> float:
        """Return its value."""
        if self._is_empty:
            raise WorkloadError(f"the metric {self.name} was given no sample")
        return float(self.metric.compute())


class GrowingArray:
    """An array that is appended to: in memory while it is small, and then in a file.

    Args:
        name: What it is called in messages.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._parts: list[NDArray[Any]] = []
        self._bytes = self._rows = 0
        self._file: IO[bytes] | None = None

    @property
    def is_large(self) -> bool:
        """Whether it lies in a file."""
        return self._file is not None

    def append(self, array: NDArray[Any]) -> None:
        """Add samples at the end.

        Raises:
            WorkloadError: If they have another shape than those before.
        """
        known = self._parts[0] if self._parts else array
        if known.shape[1:] != array.shape[1:] or known.dtype != array.dtype:
            raise WorkloadError(
                f"{self.name} has batches of {known.dtype}{list(known.shape)} and of "
                f"{array.dtype}{list(array.shape)}, which are not one array: write metrics(), "
                "which take one batch after the other"
            )
        self._rows += len(array)
        self._bytes += array.nbytes
        if self._file is None:
            self._parts.append(array)
            if self._bytes > _IN_MEMORY_BYTES:
                self._file = tempfile.TemporaryFile()  # noqa: SIM115 — closed with this object
                for part in self._parts:
                    np.ascontiguousarray(part).tofile(self._file)
                self._parts = [array[:0]]
        else:
            np.ascontiguousarray(array).tofile(self._file)

    def whole(self) -> NDArray[Any]:
        """Return the array, of all samples."""
        if self._file is None:
            self._parts = [np.concatenate(self._parts)]
            return self._parts[0]
        self._file.flush()
        shape = (self._rows, *self._parts[0].shape[1:])
        return np.memmap(self._file, self._parts[0].dtype, "r", shape=shape)


def joined(batches: list[Any]) -> Any:
    """Return the targets of all batches together: arrays, mappings of arrays, or lists."""
    first = batches[0]
    if isinstance(first, dict):
        return {name: joined([each[name] for each in batches]) for name in first}
    if isinstance(first, np.ndarray):
        return np.concatenate(batches)
    return [each for batch in batches for each in batch]


def picked(values: Any, rows: NDArray[np.int64]) -> Any:
    """Return the values of some samples, such as targets: of arrays, mappings of them, or lists."""
    if isinstance(values, dict):
        return {name: picked(each, rows) for name, each in values.items()}
    return values[rows] if isinstance(values, np.ndarray) else [values[row] for row in rows]
