"""Batches of the samples that a job names."""

from collections.abc import Iterator, Sequence
from typing import Any

from .backend import InputJob, Job, Model
from .refusal import RefusedError

MOST_FEEDS = 8
"""Different batches that a launch takes turns with. Chosen by judgement."""


class Inputs:
    """A job's samples, and how a batch of them becomes the argument of a call.

    Args:
        job: The job.
        model: The model.

    Raises:
        RefusedError: If the model takes other inputs.
    """

    def __init__(self, job: Job, model: Model) -> None:
        names, records = model.input_names, _records(job, model.input_names)
        constants = [each["name"] for each in job["inputs"] if each["path"] is None]
        arrays = len(job["inputs"]) - len(constants)
        used = sum(each["path"] is not None for each in records.values())
        if len(records) != len(names) or used != arrays:
            raise RefusedError(
                "invalid",
                f"the model has {len(names)} inputs {names}; got {arrays} arrays of samples and "
                f"{len(constants)} constants {constants}",
            )
        given = [records[name] for name in names]
        self._axes = [each["batch_axis"] for each in given]
        self._arrays = [_constant(e) if e["path"] is None else _samples(e) for e in given]
        self._are_samples = [each["path"] is not None for each in given]
        self._model = model

    def __len__(self) -> int:
        """Number of samples."""
        given = zip(self._arrays, self._are_samples, strict=True)
        return next(len(array) for array, is_of_samples in given if is_of_samples)

    def feed(self, rows: Any) -> Any:
        """Return the argument of a call with the samples of these rows (see :meth:`arrays`)."""
        return self._model.feed(self.arrays(rows))

    def arrays(self, rows: Any) -> list[Any]:
        """Return an array for each of the model's inputs, with the samples of these rows.

        Raises:
            RefusedError: If there are several rows, and an input has no axis for them.
        """
        import numpy as np

        placed = []
        for array, axis, is_of_samples in zip(
            self._arrays, self._axes, self._are_samples, strict=True
        ):
            if not is_of_samples:
                placed.append(array)
                continue
            if axis is None and len(rows) > 1:
                raise RefusedError("unsupported", "the model takes one sample per call")
            some = array[rows]
            some = some[0] if axis is None else np.moveaxis(some, 0, axis)
            placed.append(np.ascontiguousarray(some).reshape(some.shape))
        return placed

    def cut(self, arrays: Sequence[Any], start: int, stop: int) -> list[Any]:
        """Return some samples of :meth:`arrays`, by their places there.

        Nothing is copied where the batch is the first axis.
        """
        import numpy as np

        found = []
        for array, axis, is_of_samples in zip(arrays, self._axes, self._are_samples, strict=True):
            if is_of_samples and axis is not None:
                array = np.ascontiguousarray(array[(slice(None),) * axis + (slice(start, stop),)])
            found.append(array)
        return found

    def drop_pages(self) -> None:
        """Give back the memory of the files' pages that were read: else it grows to their size."""
        import mmap

        for array in self._arrays:
            mapped = getattr(array, "_mmap", None)
            if mapped is not None:
                mapped.madvise(mmap.MADV_DONTNEED)


def _samples(record: InputJob) -> Any:
    import numpy as np

    return np.load(str(record["path"]), mmap_mode="r")


def _constant(record: InputJob) -> Any:
    import numpy as np

    constant = record["constant"] or {}
    return np.array(constant["value"], constant["dtype"])


def call_shapes(job: Job, names: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Return the shape that each of a model's inputs has in a call with a full batch, by name.

    Args:
        job: The job.
        names: The names of the model's inputs, in order.
    """
    found = {}
    for name, each in _records(job, names).items():
        if each["path"] is None:
            found[name] = tuple(_constant(each).shape)
            continue
        shape, axis = [*_samples(each).shape[1:]], each["batch_axis"]
        if axis is not None:
            shape.insert(axis, job["batch_size"])
        found[name] = tuple(shape)
    return found


def batch_axes(job: Job, names: Sequence[str]) -> dict[str, int | None]:
    """Return the batch axis of each of a model's inputs that holds samples, by name.

    Args:
        job: The job.
        names: The names of the model's inputs, in order.
    """
    found = _records(job, names)
    return {n: each["batch_axis"] for n, each in found.items() if each["path"] is not None}


def _records(job: Job, names: Sequence[str]) -> dict[str, InputJob]:
    """Return what the job says of a model's inputs, by the model's names for them.

    Names decide if all are the model's. Other formats have others: then the order does.
    """
    constants = {str(each["name"]): each for each in job["inputs"] if each["path"] is None}
    free = [each for each in job["inputs"] if each["path"] is not None]
    wanted = [name for name in names if name not in constants]
    named = {str(each["name"]): each for each in free}
    if {*named} != {*wanted}:
        named = dict(zip(wanted, free, strict=False))
    known = {**named, **constants}
    return {name: known[name] for name in names if name in known}


def feeds(job: Job, model: Model, most: int = MOST_FEEDS) -> list[Any]:
    """Return a few batches, ready to call with, so that no two calls in a row see the same data."""
    given = Inputs(job, model)
    return [given.feed(rows) for rows in batches(len(given), job["batch_size"], most)]


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

    given = Inputs(job, model)
    samples, size = len(given), job["batch_size"]
    for start in range(0, samples, size):
        count = min(size, samples - start)
        rows = np.arange(start, start + (size if model.has_fixed_batch else count)) % samples
        yield given.feed(rows), count
        given.drop_pages()
