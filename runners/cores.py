"""The processor's cores: which of them this process may use, and for how much of the time."""

from __future__ import annotations

import os
from pathlib import Path

from paretune.runners.control_groups import control_groups, text

_SYSTEM = Path("/sys/devices")

_FAST = 0.9
"""Share of the fastest core's capacity from which a core counts as fast: boost clocks differ by a
few per cent between cores of one kind, efficiency cores by a third and more.
"""


def usable_cores() -> list[int]:
    """Return the numbers of the cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def available_cores() -> int:
    """Return how many threads can run all the time: at least one.

    A container may have all cores but only some of their time (``docker run --cpus=2``). More
    threads than that time would all be stopped together.
    """
    count, allowed = len(usable_cores()), quota()
    return count if allowed is None else max(1, min(count, int(allowed)))


def quota() -> float | None:
    """Return the processor time that control groups allow this process, in cores, if limited."""
    return min((cores for cores, _ in _limits()), default=None)


def throttle_counters() -> list[Path]:
    """Return the files in which the system counts how often a quota stopped this process."""
    return [folder / "cpu.stat" for _, folder in _limits()]


def best_cores(count: int) -> list[int]:
    """Return the cores to pin a launch to, fewer if there are fewer.

    Fast cores come first, where a processor has slow ones as well. Two threads of one core share
    it, so second threads come last. Of equal cores, the system uses the first numbers most, so the
    last ones are taken.
    """
    usable = usable_cores()
    capacity = {core: _capacity(core) for core in usable}
    fastest = max(capacity.values())
    kinds = {
        core: max(fastest * (size >= _FAST * fastest), size) for core, size in capacity.items()
    }
    alone: list[int] = []
    second: list[int] = []
    taken: set[int] = set()
    for core in sorted(usable, key=lambda core: (-kinds[core], -core)):
        (second if core in taken else alone).append(core)
        taken |= _numbers(_SYSTEM / f"system/cpu/cpu{core}/topology/thread_siblings_list")
    return sorted([*alone, *second][:count])


def limits_in_words(threads: int) -> str:
    """Return what a person should know before so many threads are timed; empty if nothing."""
    allowed, count = quota(), len(usable_cores())
    if allowed is not None and allowed < min(threads, count):
        return (
            f"a control group's quota allows this process {allowed:g} cores' time, and it is to "
            f"use {threads}: the system stops it again and again. Launches that it stopped count "
            "as disturbed. Use fewer threads, or raise the quota (docker run --cpus)"
        )
    if threads > count:
        return (
            f"{threads} threads share {count} {'core' if count == 1 else 'cores'}, which is all "
            f"that this process may use: use --threads {count} or fewer"
        )
    return ""


def _limits() -> list[tuple[float, Path]]:
    """Return each quota that holds for this process, in cores, with its control group's folder."""
    folders = control_groups("cpu")
    return [(cores, folder) for folder in folders if (cores := _quota_of(folder)) is not None]


def _quota_of(folder: Path) -> float | None:
    share = text(folder / "cpu.max").split() or [
        *text(folder / "cpu.cfs_quota_us").split(),
        *text(folder / "cpu.cfs_period_us").split(),
    ]
    if len(share) != 2 or not all(each.isdigit() for each in share):  # "max" or -1: no limit
        return None
    return int(share[0]) / int(share[1])


def _capacity(core: int) -> float:
    """Return a core's relative speed; on Intel's hybrid processors by its kind."""
    known = text(_SYSTEM / f"system/cpu/cpu{core}/cpu_capacity").strip()
    if known.isdigit():
        return float(known)
    return 0.5 if core in _numbers(_SYSTEM / "cpu_atom/cpus") else 1.0


def _numbers(path: Path) -> set[int]:
    """Return the numbers of a list such as ``0-3,8``; none if the file is missing."""
    found: set[int] = set()
    for part in text(path).strip().split(","):
        first, _, last = part.partition("-")
        if first.isdigit():
            found |= set(range(int(first), int(last or first) + 1))
    return found
