"""The memory on which this thread handles signals: a library that replaces it must give it back."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager


class _SignalStack(ctypes.Structure):
    """``stack_t`` of ``<signal.h>`` on Linux."""

    _fields_ = (("address", ctypes.c_void_p), ("flags", ctypes.c_int), ("bytes", ctypes.c_size_t))


@contextmanager
def signal_stack_kept() -> Iterator[None]:
    """Put the calling thread's signal stack back at the end, whatever was loaded meanwhile.

    OpenVINO's CPU plugin (2026.4) gives the thread that loads it a signal stack of its own
    (``sigaltstack(2)``). If another thread frees the plugin, as a garbage collection may, that
    memory is gone, but the first thread still handles its signals there: the next Ctrl-C, or the
    end of a child process, ends it with SIGSEGV. On systems other than Linux nothing is done.
    """
    if sys.platform != "linux":
        yield
        return
    libc, stack = ctypes.CDLL(None), _SignalStack()
    libc.sigaltstack(None, ctypes.byref(stack))
    try:
        yield
    finally:
        libc.sigaltstack(ctypes.byref(stack), None)
