"""A split as a PyTorch loader, for training loops of others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch.utils.data import DataLoader, IterableDataset

from paretune.runners.workload.data import Dataset, is_positional
from paretune.runners.workload.learning.forward import on_device


def torch_loader(
    split: Dataset, batch_size: int, *, shuffle: bool = False, seed: int = 0
) -> DataLoader[Any]:
    """Return a loader of a split, for a ``Trainer`` or a loop of your own.

    It yields pairs of inputs and targets as tensors. Inputs are a tensor, a tuple of several, or a
    mapping if the data has names for them. A last batch of a single sample is left out of a
    shuffled epoch, because batch normalization takes none.

    Args:
        split: The split.
        batch_size: Samples per batch.
        shuffle: Whether each epoch has another order.
        seed: Seed of the order.
    """
    return DataLoader(_Batches(split, batch_size, shuffle, seed), batch_size=None)


class _Batches(IterableDataset[Any]):
    """The batches of a split, in another order in each epoch."""

    def __init__(self, split: Dataset, batch_size: int, shuffle: bool, seed: int) -> None:
        self._split, self._size, self._shuffle = split, batch_size, shuffle
        self._random = torch.Generator().manual_seed(seed)

    def __len__(self) -> int:
        whole, rest = divmod(len(self._split), self._size)
        return whole + (rest > (1 if self._shuffle and whole else 0))

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        cpu, rows = torch.device("cpu"), None
        if self._shuffle:
            rows = torch.randperm(len(self._split), generator=self._random).numpy()
            rows = rows[: len(rows) - (len(rows) > 1 and len(rows) % self._size == 1)]
        for batch in self._split.batches(self._size, rows):
            inputs = on_device(dict(batch.inputs), cpu)
            targets = on_device(batch.targets, cpu)
            if is_positional(tuple(inputs)):
                given = tuple(inputs.values())
                yield (given[0] if len(given) == 1 else given), targets
            else:
                yield inputs, targets
