"""The digest of samples that exist only when they are read."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from paretune.runners.workload.data import Batch, Dataset
from paretune.runners.workload.datasets.arrays import array_digest
from paretune.spaces import WorkloadError, canonical_json, digest

_BATCH = 64
"""Samples that are hashed at a time; the digest does not depend on the order of reading alone, so
that it must stay the same in all versions.
"""


def content_digest(dataset: Dataset) -> str:
    """Return the SHA-256 of all samples, read in order and with fixed seeds.

    So a dataset that augments at random has one digest as well.

    Raises:
        WorkloadError: If the first samples are others when they are read again.
    """
    with fixed_seeds():
        first = _of(next(iter(dataset.batches(_BATCH))))
    with fixed_seeds():
        found = hashlib.sha256()
        for place, batch in enumerate(dataset.batches(_BATCH)):
            own = _of(batch)
            if place == 0 and own != first:
                raise WorkloadError(
                    "a dataset gives other samples each time, even with fixed seeds: give it a "
                    "`version`, a text that you change when its samples change"
                )
            found.update(own.encode())
    return found.hexdigest()


def versioned_digest(dataset: Dataset, version: str | None) -> str:
    """Return the digest of a version that a person keeps, or without one that of all samples."""
    if version is None:
        return content_digest(dataset)
    return digest({"version": version, "samples": len(dataset)})


@contextmanager
def fixed_seeds(seed: int = 0) -> Iterator[None]:
    """Seed Python's, numpy's and torch's generators, and restore them afterwards."""
    import torch

    states = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])


def _of(batch: Batch) -> str:
    return canonical_json([_plain(batch.inputs), _plain(batch.targets)])


def _plain(value: Any) -> Any:
    """Return a value as JSON has it, with arrays as their digests."""
    if isinstance(value, np.ndarray) and value.ndim:
        return array_digest(value)
    if isinstance(value, np.ndarray | np.generic):
        return repr(value.item())
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return repr(value)
