"""CUDA's runtime library: a card's context, page-locked memory, and copies."""

import ctypes
import weakref
from collections.abc import Sequence
from typing import Any

from ..refusal import RefusedError

# Values of CUDA's own enumerations: cudaMemcpyKind, and the flag of a stream.
_HOST_TO_DEVICE, _DEVICE_TO_HOST = 1, 2
_NON_BLOCKING = 1  # cudaStreamNonBlocking
_INSUFFICIENT_DRIVER = 35  # also what CUDA says where there is no driver


class CudaRuntime:
    """The functions of ``libcudart`` that ONNX Runtime's Python interface lacks.

    Args:
        device_id: The card's number, as CUDA counts.
        major: The major version of CUDA.

    Raises:
        OSError: If the library is not there.
    """

    def __init__(self, device_id: int, major: str) -> None:
        self.device_id = device_id
        self.why_pageable = ""
        self.stream = 0
        self._major = major
        self._library: Any = ctypes.CDLL(f"libcudart.so.{major}")
        self._library.cudaGetErrorString.restype = ctypes.c_char_p
        self._library.cudaHostAlloc.argtypes = (
            ctypes.POINTER(ctypes.c_void_p),
            ctypes.c_size_t,
            ctypes.c_uint,
        )
        self._library.cudaMemcpyAsync.argtypes = (
            ctypes.c_void_p,
            ctypes.c_void_p,
            ctypes.c_size_t,
            ctypes.c_int,
            ctypes.c_void_p,
        )
        self._library.cudaStreamSynchronize.argtypes = (ctypes.c_void_p,)

    def open(self) -> None:
        """Make the card's context, which takes a second, and make it this thread's.

        Raises:
            RefusedError: If there is no such card, or its driver does not fit.
        """
        error = self._library.cudaSetDevice(self.device_id) or self._library.cudaFree(None)
        if error:
            fix = ""
            if error == _INSUFFICIENT_DRIVER:
                fix = f": install an NVIDIA driver for CUDA {self._major} or newer"
            raise RefusedError(
                "unsupported", f"CUDA cannot use card {self.device_id}: {self._text(error)}{fix}"
            )

    def array(self, shape: Sequence[int], dtype: Any) -> Any:
        """Return an uninitialized array in page-locked memory, which a card reads directly.

        If none can be had, ``why_pageable`` says why, and the array is an ordinary one.
        """
        import numpy as np

        result = np.empty(shape, dtype)
        if not result.nbytes:
            return result
        address = ctypes.c_void_p()
        error = self._library.cudaSetDevice(self.device_id) or self._library.cudaHostAlloc(
            ctypes.byref(address), result.nbytes, 0
        )
        if error or not address.value:
            self.why_pageable = self._text(error)
            return result

        class Memory(ctypes.Array[ctypes.c_byte]):  # Python's own classes have weak references
            _type_ = ctypes.c_byte
            _length_ = result.nbytes

        memory: Any = Memory.from_address(address.value)
        weakref.finalize(memory, self._library.cudaFreeHost, address).atexit = False
        return np.frombuffer(memory, result.dtype).reshape(result.shape)

    def make_stream(self) -> None:
        """Make the stream of copies, for a session to compute in as well; without one, it is 0."""
        stream = ctypes.c_void_p()
        if not self._library.cudaStreamCreateWithFlags(ctypes.byref(stream), _NON_BLOCKING):
            self.stream = stream.value or 0

    def copy_to_card(self, target: int, source: Any) -> None:
        """Copy an array to an address on the card, after what is in the stream."""
        self._copy(target, source.ctypes.data, source.nbytes, _HOST_TO_DEVICE)

    def copy_to_host(self, target: Any, source: int) -> None:
        """Copy as many bytes as an array has from an address on the card, after the stream."""
        self._copy(target.ctypes.data, source, target.nbytes, _DEVICE_TO_HOST)

    def finish(self) -> None:
        """Wait until all that is in the stream is done."""
        self._check("finish its work", self._library.cudaStreamSynchronize(self.stream))

    def _copy(self, target: int, source: int, size: int, kind: int) -> None:
        error = self._library.cudaMemcpyAsync(target, source, size, kind, self.stream)
        self._check("copy", error)

    def _check(self, what: str, error: int) -> None:
        if error:
            raise RuntimeError(f"CUDA cannot {what}: {self._text(error)}")

    def _text(self, error: int) -> str:
        return f"{self._library.cudaGetErrorString(error).decode()} (CUDA error {error})"
