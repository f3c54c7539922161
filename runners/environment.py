"""The machine of a measurement: every measurement records it."""

import platform
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from paretune.runners import gpu
from paretune.runners.control_groups import control_groups, text
from paretune.runners.cores import quota, usable_cores

MICROCODE = "microcode"
"""The name of the processor's microcode, which an update of the system may change."""


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
    """Return processor, microcode, cores, memory, frequency governor, operating system and cards.

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
        **({} if (code := _in_cpuinfo("microcode")) is None else {MICROCODE: code}),
        **({} if allowed is None else {"cpu_quota": f"{allowed:g}"}),
        **gpu.card_names(),
    }


def is_same_machine(now: Mapping[str, str], then: Mapping[str, str]) -> bool:
    """Tell whether a measurement's environment has all that describes a machine.

    Args:
        now: What describes the machine.
        then: The environment; an earlier version recorded no microcode.
    """
    known = {name: value for name, value in now.items() if name != MICROCODE or name in then}
    return known.items() <= then.items()


def _processor() -> str:
    return _in_cpuinfo("model name") or platform.processor() or "unknown"


def _in_cpuinfo(name: str) -> str | None:
    for line in text(Path("/proc/cpuinfo")).splitlines():
        if line.startswith(name):
            return line.partition(":")[2].strip()
    return None


def _first_line(path: str) -> str:
    return next(iter(text(Path(path)).splitlines()), "unknown")
