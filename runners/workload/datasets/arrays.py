"""Arrays that may be larger than memory: read in parts, and known by digest."""

from __future__ import annotations

import hashlib
import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paretune.runners.workload.datasets.known_digests import known_digest
from paretune.spaces import WorkloadError

_PART_BYTES = 2**24
"""Bytes that are read at a time, so that a pass over a file takes no memory. Untested."""


def plain(array: NDArray[Any]) -> NDArray[Any]:
    """Return an array in memory, contiguous and in this machine's byte order, as torch needs it.

    An array that is all of this already is returned as it is.
    """
    if is_mapped(array):
        array = np.array(array, subok=False)
    native = array.astype(array.dtype.newbyteorder("="), copy=False)
    return np.ascontiguousarray(native) if native.ndim else native


def is_mapped(array: NDArray[Any]) -> bool:
    """Return whether an array's bytes are those of a memory-mapped file."""
    return isinstance(array, np.memmap) and isinstance(getattr(array, "_mmap", None), mmap.mmap)


def drop_pages(*arrays: NDArray[Any]) -> None:
    """Give back the memory of files' pages that were read: else it grows to the files' size.

    Pages stay in the system's cache. A private mapping (mode ``c``) may hold changes, and is left.
    """
    for array in arrays:
        if is_mapped(array) and array.mode != "c":  # type: ignore[attr-defined]
            array._mmap.madvise(mmap.MADV_DONTNEED)  # type: ignore[attr-defined]


def parts(array: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Yield an array in runs of its first axis that are small enough for memory."""
    per_sample = max(1, array.nbytes // max(len(array), 1))
    step = max(1, _PART_BYTES // per_sample)
    for start in range(0, len(array), step):
        yield plain(array[start : start + step])
        drop_pages(array)


def array_digest(array: NDArray[Any], checked_as: str = "") -> str:
    """Return the SHA-256 of an array's dtype, shape and bytes, wherever they are.

    A memory-mapped file that has not changed since its digest was made is not read again.

    Args:
        array: The array, of at least one axis.
        checked_as: A name under which NaN and infinity are refused; allowed if empty.
    """
    dtype = array.dtype.newbyteorder("<")
    head = f"{dtype.str} {array.shape}"

    def read() -> str:
        found = hashlib.sha256(head.encode())
        for part in parts(array):
            if checked_as:
                check_finite(part, checked_as)
            little = np.ascontiguousarray(part.astype(dtype, copy=False))
            found.update(little.reshape(-1).view(np.uint8).data)
        return found.hexdigest()

    file = mapped_file(array)
    if file is None:
        return read()
    view = f"{head} {array.strides} {_offset(array)} {'checked' if checked_as else ''}"
    return known_digest([file], view, read)


def mapped_file(array: NDArray[Any]) -> Path | None:
    """Return the file whose bytes an array has, if it is memory-mapped and cannot differ."""
    if not is_mapped(array) or array.mode == "c":  # type: ignore[attr-defined]
        return None
    name = getattr(array, "filename", None)
    return None if name is None else Path(name)


def _offset(array: NDArray[Any]) -> int:
    """Return where in its file a memory-mapped array begins, in bytes."""
    start = np.frombuffer(array._mmap, np.uint8).ctypes.data  # type: ignore[attr-defined]
    before: int = array.offset - array.offset % mmap.ALLOCATIONGRANULARITY  # type: ignore[attr-defined]
    return int(array.ctypes.data - start + before)


def check_finite(array: NDArray[Any], name: str) -> None:
    """Raise an error if an input holds NaN or infinity.

    Raises:
        WorkloadError: If it does.
    """
    if np.issubdtype(array.dtype, np.floating) and not np.isfinite(array).all():
        raise WorkloadError(
            f"the inputs of a split hold NaN or infinity ({name!r}): clean the data first"
        )
