"""The machine of a measurement: every measurement records it."""

import os
import platform
from functools import cache
from pathlib import Path

from paretune.runners import gpu

_CGROUP_LIMIT = "/sys/fs/cgroup/memory.max"


def available_cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def memory_bytes() -> int:
    """Return the memory that this process may use: the machine's, or its control group's."""
    import psutil

    total = int(psutil.virtual_memory().total)
    limit = _first_line(_CGROUP_LIMIT)
    return min(total, int(limit)) if limit.isdigit() else total


@cache
def fingerprint() -> dict[str, str]:
    """Return processor, cores, memory, frequency governor, operating system and cards."""
    return {
        "processor": _processor(),
        "architecture": platform.machine(),
        "cores": str(available_cores()),
        "memory_gib": f"{memory_bytes() / 2**30:.1f}",
        "governor": _first_line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "system": f"{platform.system()} {platform.release()}",
        **gpu.card_names(),
    }


def _processor() -> str:
    for line in _lines("/proc/cpuinfo"):
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or "unknown"


def _first_line(path: str) -> str:
    return next(iter(_lines(path)), "unknown")


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text("utf-8").splitlines()
    except OSError:
        return []
