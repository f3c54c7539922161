"""The device lease: on one device, one process at a time measures or builds.

An advisory lock (``flock``) on one file per device. A timing child inherits the descriptors: if its
parent is killed, the locks last as long as the orphan, and nothing overlaps with it.

Whoever holds another device holds the host as well, because the host's cores feed it: a build or a
measurement on the processor would disturb a launch on a card. All take the device first and the
host last, so nobody waits for somebody who waits for him. A card's lock is named by its UUID: two
processes that count the cards differently (``CUDA_VISIBLE_DEVICES``) exclude each other.
"""

from __future__ import annotations

import fcntl
import logging
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path

from paretune.runners import gpu
from paretune.runners.file_lock import locked, sign
from paretune.spaces import DeviceBusyError

_LOG = logging.getLogger("paretune")
_POLL_SECONDS = 0.02
"""Seconds between attempts. Chosen by judgement."""

_SAY_AFTER_SECONDS = 2.0
"""Seconds of waiting after which a person is told. Chosen by judgement."""

CPU = "cpu"
"""The device whose cores builds use as well, and which feed every other device."""

Lease = tuple[int, ...]
"""Descriptors of the locks that are held."""

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
def lease(device: str) -> Iterator[Lease]:
    """Hold a device, and the host; wait while others hold them (see :func:`waiting_until`).

    Args:
        device: Its name, such as ``"cpu"`` or ``"gpu:0"``.

    Yields:
        The locks' descriptors, for children to inherit.

    Raises:
        DeviceBusyError: If the deadline has passed and another process still holds one of them, or
            the lock file of another user cannot be opened.
    """
    with ExitStack() as held:
        yield tuple(held.enter_context(_locked(name, device)) for name in lease_names(device))


def lease_names(device: str) -> tuple[str, ...]:
    """Return the names of the locks of a device, in the order in which they are taken."""
    return tuple(dict.fromkeys((gpu.uuid(device) or device, CPU)))


@contextmanager
def _locked(name: str, device: str) -> Iterator[int]:
    with ExitStack() as held:
        descriptor = _wait_for(lease_path(name), name if name == CPU else device, held)
        sign(descriptor)
        yield descriptor


def lease_path(name: str) -> Path:
    """Return the file of a lock, the same one for every user of the machine."""
    folder = Path(os.environ.get("PARETUNE_LEASES", tempfile.gettempdir())) / "paretune-leases"
    folder.mkdir(parents=True, exist_ok=True)
    with suppress(PermissionError):  # the folder's owner has done it
        folder.chmod(0o1777)
    return folder / f"{name.replace('/', '_').replace(':', '_')}.lock"


def _wait_for(path: Path, device: str, held: ExitStack) -> int:
    started, said, deadline = time.monotonic(), False, _DEADLINE.get()
    while True:
        try:
            lock = locked(path, fcntl.LOCK_EX | fcntl.LOCK_NB, create=True, everybody=True)
            return held.enter_context(lock)
        except PermissionError as error:
            closed, mode = (path, "666") if path.exists() else (path.parent, "1777")
            raise DeviceBusyError(
                f"cannot tell whether the device {device} is in use, because {closed} belongs to "
                "another user and is closed to all others: ask its owner to run "
                f"`chmod {mode} {closed}`, or set PARETUNE_LEASES to a folder that all users share"
            ) from error
        except BlockingIOError:
            now = time.monotonic()
            holder = path.read_text("utf-8", errors="replace") or "unknown"
            if deadline is not None and now > deadline:
                raise DeviceBusyError(
                    f"time is up: process {holder} still builds or measures on device {device}; "
                    "run the same command again after it has ended, or with more hours"
                ) from None
            if not said and now - started > _SAY_AFTER_SECONDS:
                _LOG.warning("waiting for device %s, held by process %s", device, holder)
                said = True
            time.sleep(_POLL_SECONDS)
