"""Data of PyTorch: a ``Dataset`` or a ``DataLoader``, with its workers and its collate function."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from paretune.runners.workload.data import Batch, Dataset, Rows
from paretune.runners.workload.datasets.content import versioned_digest
from paretune.runners.workload.datasets.indexed import (
    Subset,
    as_targets,
    converted,
    named_inputs,
)
from paretune.spaces import WorkloadError

if TYPE_CHECKING:
    from torch.utils.data import DataLoader

_TARGETS = ("labels", "label", "targets", "target", "y")
"""Names that the targets may have in a batch that is a mapping; the first that is there is it."""


class TorchData:
    """A map-style dataset of PyTorch, or what a loader reads.

    A batch (a sample, without a loader) is a pair of inputs and targets, or a mapping of all of
    them by name. The loader's workers, ``collate_fn`` and ``worker_init_fn`` are used; its order
    and batch size are not, because training and measuring have their own.

    Args:
        source: A ``torch.utils.data.Dataset`` with a length, or a ``DataLoader`` of one.
        version: A text that changes when the samples do. Without it, every sample is read and
            hashed once in every process.
        target: The targets' name in batches that are mappings.
    """

    def __init__(
        self, source: Any, version: str | None = None, *, target: str | None = None
    ) -> None:
        from torch.utils.data import DataLoader, IterableDataset

        self._loader: DataLoader[Any] | None = source if isinstance(source, DataLoader) else None
        self.dataset: Any = source if self._loader is None else self._loader.dataset
        self.version = version
        self._target = target
        if isinstance(self.dataset, IterableDataset):
            raise WorkloadError(
                "an IterableDataset has no rows: use paretune.Generated(lambda: iter(dataset), "
                "length), which reads it in order"
            )
        if not hasattr(self.dataset, "__len__") or not hasattr(self.dataset, "__getitem__"):
            raise WorkloadError(
                f"{type(self.dataset).__name__} has no __len__ and __getitem__, so it is no "
                "map-style dataset of PyTorch"
            )

    def __len__(self) -> int:
        return len(self.dataset)

    @cached_property
    def input_names(self) -> tuple[str, ...]:
        """Names of the inputs, from the first sample."""
        return tuple(next(self._read([[0]], workers=0)).inputs)

    @cached_property
    def digest(self) -> str:
        """That of the version, or else of all samples."""
        return versioned_digest(_InOneProcess(self), self.version)

    def batches(self, size: int, rows: Rows | None = None) -> Iterator[Batch]:
        """Yield batches (see :class:`Dataset`), as the loader's workers make them."""
        workers = 0 if self._loader is None else self._loader.num_workers
        return self._read(self.chunks(size, rows), workers)

    def take(self, rows: Rows) -> Dataset:
        """Return a split of these samples."""
        return Subset(self, rows)

    def chunks(self, size: int, rows: Rows | None) -> list[list[int]]:
        """Return the rows of each batch."""
        wanted = np.arange(len(self)) if rows is None else rows
        return [wanted[start : start + size].tolist() for start in range(0, len(wanted), size)]

    def _read(self, chunks: Sequence[Sequence[int]], workers: int) -> Iterator[Batch]:
        from torch.utils.data import DataLoader

        given, options = self._loader, dict[str, Any]()
        if given is not None:
            options = {"collate_fn": given.collate_fn, "worker_init_fn": given.worker_init_fn}
            if workers:
                # Not the default: in a build worker that is loky's, which torch cannot use.
                own = given.multiprocessing_context or "fork"
                options["multiprocessing_context"] = own
        options |= {"batch_sampler": chunks, "num_workers": workers}
        loader: Any = DataLoader(self.dataset, **options)
        for batch in loader:
            yield self._batch(batch)

    def _batch(self, batch: Any) -> Batch:
        if isinstance(batch, Mapping):
            names = [self._target] if self._target else [n for n in _TARGETS if n in batch]
            if not names or names[0] not in batch:
                raise WorkloadError(
                    f"a batch has {', '.join(map(str, batch))}, but no targets: name them, "
                    "TorchData(dataset, target=NAME)"
                )
            others = {name: each for name, each in batch.items() if name != names[0]}
            return converted(named_inputs(others), as_targets(batch[names[0]]))
        if not isinstance(batch, tuple | list) or len(batch) < 2:
            raise WorkloadError(
                f"a sample must be inputs and a target, or a mapping with both; got "
                f"{type(batch).__name__}"
            )
        inputs = batch[0] if len(batch) == 2 else tuple(batch[:-1])
        return converted(named_inputs(inputs), as_targets(batch[-1]))


class _InOneProcess:
    """The same dataset without workers, which would seed themselves."""

    def __init__(self, data: TorchData) -> None:
        self._data = data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._data, name)

    def __len__(self) -> int:
        return len(self._data)

    def batches(self, size: int, rows: Rows | None = None) -> Iterator[Batch]:
        return self._data._read(self._data.chunks(size, rows), workers=0)
