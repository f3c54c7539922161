"""Batches of the samples that a job names."""

from collections.abc import Iterator
from typing import Any

from .backend import Job, Model
from .refusal import RefusedError

MOST_FEEDS = 8
"""Different batches that a launch takes turns with. Chosen by judgement."""


def arrays(job: Job, model: Model) -> list[Any]:
    """Return the array of samples of each input, in order.

    Raises:
        RefusedError: If the model takes a different number of inputs.
    """
    import numpy as np

    names = model.input_names
    if len(names) != len(job["inputs"]):
        raise RefusedError(
            "invalid", f"the model has {len(names)} inputs {names}; got {len(job['inputs'])} arrays"
        )
    return [np.load(path, mmap_mode="r") for path in job["inputs"]]


def feeds(job: Job, model: Model, most: int = MOST_FEEDS) -> list[Any]:
    """Return a few batches, ready to call with, so that no two calls in a row see the same data."""
    import numpy as np

    given = arrays(job, model)
    return [
        model.feed([np.ascontiguousarray(array[rows]) for array in given])
        for rows in batches(len(given[0]), job["batch_size"], most)
    ]


def batches(samples: int, size: int, most: int = MOST_FEEDS) -> list[Any]:
    """Return the rows of a few full batches, drawn over all samples; short data is repeated.

    The draw is the same for every model. The first samples of a split are often of one kind, and
    where the time depends on the data they would be timed alone. With two samples or more there
    are two batches or more, so that no two calls in a row see the same data.
    """
    import numpy as np

    rng = np.random.default_rng(0)
    count = min(most, max(-(-samples // size), min(samples, 2)))
    if samples >= count * size:
        return list(rng.choice(samples, (count, size), replace=False))
    return [np.resize(rng.permutation(samples), size) for _ in range(count)]


def every_batch(job: Job, model: Model) -> Iterator[tuple[Any, int]]:
    """Yield feeds that together hold every sample once, with the number of rows that count.

    The last batch is shorter or, if the runtime's batch size is fixed, filled up from the start.
    """
    import numpy as np

    given = arrays(job, model)
    samples, size = len(given[0]), job["batch_size"]
    for start in range(0, samples, size):
        count = min(size, samples - start)
        rows = np.arange(start, start + (size if model.has_fixed_batch else count)) % samples
        yield model.feed([np.ascontiguousarray(array[rows]) for array in given]), count
        for array in given:
            drop_pages(array)


def drop_pages(array: Any) -> None:
    """Give back the memory of a file's pages that were read: else it grows to the file's size."""
    import mmap

    mapped = getattr(array, "_mmap", None)
    if mapped is not None:
        mapped.madvise(mmap.MADV_DONTNEED)
