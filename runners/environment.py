"""The machine of a measurement: every measurement records it."""

import platform
from functools import cache
from pathlib import Path

from paretune.runners import gpu
from paretune.runners.control_groups import control_groups, text
from paretune.runners.cores import quota, usable_cores


def memory_bytes() -> int:
    """Return the memory that this process may use: the machine's, or its control groups'."""
    import psutil

    files = [
        folder / name
        for folder in control_groups("memory")
        for name in ("memory.max", "memory.limit_in_bytes")
    ]
    limits = [int(limit) for file in files if (limit := text(file).strip()).isdigit()]
    return min([int(psutil.virtual_memory().total), *limits])


@cache
def fingerprint() -> dict[str, str]:
    """Return processor, cores, memory, frequency governor, operating system and cards.

    ``cpu_quota`` (cores) is there only if a control group limits the time on them.
    """
    allowed = quota()
    return {
        "processor": _processor(),
        "architecture": platform.machine(),
        "cores": str(len(usable_cores())),
        "memory_gib": f"{memory_bytes() / 2**30:.1f}",
        "governor": _first_line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "system": f"{platform.system()} {platform.release()}",
        **({} if allowed is None else {"cpu_quota": f"{allowed:g}"}),
        **gpu.card_names(),
    }


def _processor() -> str:
    for line in text(Path("/proc/cpuinfo")).splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or "unknown"


def _first_line(path: str) -> str:
    return next(iter(text(Path(path)).splitlines()), "unknown")
