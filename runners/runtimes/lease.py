"""The device lease: on one device, one process at a time measures or builds.

An advisory lock (``flock``) on one file per device. A timing child inherits the descriptor: if its
parent is killed, the lock lasts as long as the orphan, and nothing overlaps with it.
"""

from __future__ import annotations

import fcntl
import logging
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path

from paretune.spaces import DeviceBusyError

_LOG = logging.getLogger("paretune")
_POLL_SECONDS = 0.02
"""Seconds between attempts. Chosen by judgement."""

_SAY_AFTER_SECONDS = 2.0
"""Seconds of waiting after which a person is told. Chosen by judgement."""

CPU = "cpu"
"""The device whose cores builds use as well."""


_DEADLINE: ContextVar[float | None] = ContextVar("lease deadline", default=None)


@contextmanager
def waiting_until(deadline: float | None) -> Iterator[None]:
    """Limit the wait of every lease of this thread, inside this context, to a deadline.

    Args:
        deadline: On :func:`time.monotonic`; ``None`` for no limit.
    """
    token = _DEADLINE.set(deadline)
    try:
        yield
    finally:
        _DEADLINE.reset(token)


@contextmanager
def lease(device: str) -> Iterator[int]:
    """Hold a device; wait while another process holds it (see :func:`waiting_until`).

    Args:
        device: Its name, such as ``"cpu"`` or ``"cuda:0"``. Different devices do not wait for each
            other.

    Yields:
        The lock's descriptor, for children to inherit.

    Raises:
        DeviceBusyError: If the deadline has passed and another process still holds it.
    """
    path = lease_path(device)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        _wait_for(descriptor, device)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield descriptor
    finally:
        # Close, but do not unlock: a child that inherited the descriptor still holds the lock.
        os.close(descriptor)


def lease_path(device: str) -> Path:
    """Return the lock file of a device, the same one for every user of the machine."""
    folder = Path(os.environ.get("PARETUNE_LEASES", tempfile.gettempdir())) / "paretune-leases"
    folder.mkdir(parents=True, exist_ok=True)
    with suppress(PermissionError):
        folder.chmod(0o1777)
    return folder / f"{device.replace('/', '_').replace(':', '_')}.lock"


def _wait_for(descriptor: int, device: str) -> None:
    started, said, deadline = time.monotonic(), False, _DEADLINE.get()
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            now = time.monotonic()
            holder = os.pread(descriptor, 32, 0).decode(errors="replace") or "unknown"
            if deadline is not None and now > deadline:
                raise DeviceBusyError(
                    f"time is up: process {holder} still builds or measures on device {device}; "
                    "run the same command again after it has ended, or with more hours"
                ) from None
            if not said and now - started > _SAY_AFTER_SECONDS:
                _LOG.warning("waiting for device %s, held by process %s", device, holder)
                said = True
            time.sleep(_POLL_SECONDS)
        else:
            return
