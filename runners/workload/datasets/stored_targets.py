"""Targets in a file: batches of arrays, or of lists and mappings of them, one after the other."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from paretune.spaces import WorkloadError


def write_targets(stream: IO[bytes], targets: Any) -> None:
    """Append the targets of a batch to a file; nothing in it has to be unpickled.

    Args:
        stream: The file.
        targets: Arrays, numbers, texts and ``None``, in lists and mappings.

    Raises:
        WorkloadError: If it is something else.
    """
    arrays: list[NDArray[Any]] = []
    form = json.dumps(_form(targets, arrays))
    np.save(stream, np.frombuffer(form.encode(), np.uint8))
    for array in arrays:
        np.save(stream, array, allow_pickle=False)


def read_targets(path: Path) -> Iterator[Any]:
    """Yield the targets of one batch after the other."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        while stream.tell() < size:
            form = json.loads(np.load(stream).tobytes())
            yield _filled(form, stream)


def rows_of(targets: Any) -> int:
    """Return how many samples the targets of a batch are for."""
    if isinstance(targets, Mapping):
        return rows_of(next(iter(targets.values())))
    return len(targets)


def part_of(targets: Any, start: int, stop: int) -> Any:
    """Return the targets of some samples of a batch."""
    if isinstance(targets, Mapping):
        return {name: part_of(each, start, stop) for name, each in targets.items()}
    return targets[start:stop]


def _form(value: Any, arrays: list[NDArray[Any]]) -> Any:
    if isinstance(value, np.ndarray) and not value.dtype.hasobject:
        arrays.append(value)
        return {"array": None}
    if isinstance(value, Mapping):
        return {"mapping": [[str(name), _form(each, arrays)] for name, each in value.items()]}
    if isinstance(value, list | tuple):
        return {"list": [_form(each, arrays) for each in value]}
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, str | int | float | bool):
        return {"value": value}
    raise WorkloadError(
        f"targets must be arrays, numbers or texts, in lists and mappings; got "
        f"{type(value).__name__}"
    )


def _filled(form: Any, stream: IO[bytes]) -> Any:
    ((kind, value),) = form.items()
    if kind == "array":
        return np.load(stream, allow_pickle=False)
    if kind == "mapping":
        return {name: _filled(each, stream) for name, each in value}
    if kind == "list":
        return [_filled(each, stream) for each in value]
    return value
