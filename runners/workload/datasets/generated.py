"""Samples that a function yields, and of which only the number is known beforehand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np

from paretune.runners.workload.data import Batch, Dataset, Rows
from paretune.runners.workload.datasets.content import versioned_digest
from paretune.runners.workload.datasets.indexed import Subset, collated
from paretune.spaces import WorkloadError


class Generated:
    """A generator with a length.

    It can be read from its start only. Rows in rising order cost one reading; of rows in another
    order, those that were read before their turn are held in memory, so training shuffles it within
    a window only.

    Args:
        generate: Starts anew and yields pairs of input and target, the same ones each time.
        length: How many it yields; more are not read.
        version: A text that changes when the samples do. Without it, every sample is read and
            hashed once in every process.
    """

    is_sequential = True

    def __init__(
        self,
        generate: Callable[[], Iterator[tuple[Any, Any]]],
        length: int,
        version: str | None = None,
    ) -> None:
        self.generate = generate
        self.length = length
        self.version = version

    def __len__(self) -> int:
        return self.length

    @cached_property
    def input_names(self) -> tuple[str, ...]:
        """Names of the inputs, from the first sample."""
        return tuple(next(self.batches(1, np.arange(1))).inputs)

    @cached_property
    def digest(self) -> str:
        """That of the version, or else of all samples."""
        return versioned_digest(self, self.version)

    def batches(self, size: int, rows: Rows | None = None) -> Iterator[Batch]:
        """Yield batches (see :class:`Dataset`).

        Raises:
            WorkloadError: If it ends before its length.
        """
        wanted = np.arange(self.length) if rows is None else rows
        samples = self._in_order(wanted)
        for start in range(0, len(wanted), size):
            yield collated(list(islice(samples, min(size, len(wanted) - start))))

    def take(self, rows: Rows) -> Dataset:
        """Return a split of these samples."""
        return Subset(self, rows)

    def _in_order(self, rows: Rows) -> Iterator[tuple[Any, Any]]:
        """Yield the samples of rows, and hold those that come before their turn."""
        left = dict(zip(*np.unique(rows, return_counts=True), strict=True))
        held: dict[int, tuple[Any, Any]] = {}
        source = enumerate(self.generate())
        for row in rows:
            while row not in held:
                place, sample = next(source, (None, None))
                if place is None or sample is None:
                    raise WorkloadError(
                        f"a generator ended before sample {row} of {self.length}: it must yield as "
                        "many samples as its length says, each time that it is started"
                    )
                if place in left:
                    held[place] = sample
            yield held[row]
            left[row] -= 1
            if not left[row]:
                del held[row]
