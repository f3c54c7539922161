"""Admission: measurements wait until nothing else uses the device."""

from __future__ import annotations

import time
from collections.abc import Sequence

from paretune.runners import gpu

_IDLE_SHARE = 0.2
"""Share of a core's time below which it counts as idle. Chosen by judgement."""

_LOOK_SECONDS = 0.1
"""Seconds over which that share is measured. Chosen by judgement."""


def wait_until_idle(device: str, cores: Sequence[int], limit_s: float) -> bool:
    """Wait until nothing else uses a device; return ``False`` if that never happens.

    The host counts as idle when all its cores together, and each core that will be used, are busy
    for less than a fifth of a tenth of a second; a card is idle when nothing computes on it (see
    ``gpu.is_busy``).

    Args:
        device: Such as ``"cpu"`` or ``"gpu:0"``.
        cores: The cores that will be used.
        limit_s: Maximum wait.
    """
    deadline = time.monotonic() + limit_s
    while not (_host_is_idle(cores) and not gpu.is_busy(device)):
        if time.monotonic() >= deadline:
            return False
    return True


def _host_is_idle(cores: Sequence[int]) -> bool:
    import psutil

    busy = [share / 100 for share in psutil.cpu_percent(interval=_LOOK_SECONDS, percpu=True)]
    ours = [busy[core] for core in cores if core < len(busy)]
    return sum(busy) / len(busy) <= _IDLE_SHARE and max(ours, default=0.0) <= _IDLE_SHARE
