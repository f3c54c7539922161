"""Counters of the operating system and the hardware while a model is timed."""

import os
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from .card import CardCounters
from .refusal import RefusedError

_RAPL = Path("/sys/class/powercap")


class Counters:
    """CPU time, involuntary context switches and energy between ``with`` and its end.

    Args:
        device: The device that is timed.
        card: Its own counters, if it is a card.
        throttled: Files of control groups that count for how long a quota stopped this process.

    Attributes:
        wall_s: Wall-clock time.
        cpu_s: CPU time of all threads.
        waited_s: Time for which the calling thread was ready to run but had no core; ``None`` where
            the system does not count it.
        throttled_s: Time for which a quota of processor time stopped this process.
        involuntary_switches: How often a thread was pushed off its core.
        energy_mj: Energy of the processor, or ``None`` where no counter can be read, or for a card.
    """

    def __init__(
        self, device: str, card: CardCounters | None = None, throttled: Sequence[str] = ()
    ) -> None:
        self.device = device
        self.card = card
        self.wall_s = self.cpu_s = self.throttled_s = 0.0
        self._stops = throttled
        self.waited_s: float | None = None
        self.involuntary_switches = 0
        self.energy_mj: float | None = None

    def __enter__(self) -> "Counters":
        if self.card is not None:
            self.card.begin()
        self._energy = energy_mj(self.device)
        self._switches = _switches()
        self._waited = waited_s()
        self._stopped = _stopped_s(self._stops)
        self._cpu, self._wall = time.process_time(), time.perf_counter()
        return self

    def __exit__(self, *raised: object) -> None:
        self.wall_s = time.perf_counter() - self._wall
        self.cpu_s = time.process_time() - self._cpu
        self.involuntary_switches = _switches() - self._switches
        self.throttled_s = _stopped_s(self._stops) - self._stopped
        waited = waited_s()
        if waited is not None and self._waited is not None:
            self.waited_s = waited - self._waited
        if self.card is not None:
            self.card.end()
        after = energy_mj(self.device)
        if self._energy is not None and after is not None and after >= self._energy:
            self.energy_mj = after - self._energy


def energy_mj(device: str) -> float | None:
    """Return the processor's energy counter in millijoules, or ``None`` where none can be read.

    It counts the processor's packages (RAPL, Linux's powercap), so it says nothing of a device
    outside of them: of those, only cards have a counter that we can read (see ``card.py``).
    """
    if device != "cpu":
        return None
    try:
        packages = sorted(_RAPL.glob("intel-rapl:?"))
        return sum(float((each / "energy_uj").read_text()) / 1e3 for each in packages) or None
    except (OSError, ValueError):
        return None  # most systems let only root read it


def peak_memory_bytes() -> int:
    """Return the peak resident set since the start, or since :func:`forget_peak`.

    ``ru_maxrss`` would still count the parent before exec.
    """
    try:
        status = Path("/proc/self/status").read_text("utf-8")
        line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    except (OSError, StopIteration):
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


def forget_peak() -> None:
    """Let the peak resident set begin anew, at today's, where Linux allows it."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", "utf-8")


def limit_memory(limit_bytes: int | None) -> None:
    """Limit this process's own data; beyond the limit, allocations fail."""
    if limit_bytes:
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_DATA)
        limit = limit_bytes if most == resource.RLIM_INFINITY else min(limit_bytes, most)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, most))


@contextmanager
def beyond_the_memory_limit() -> Iterator[None]:
    """Lift the memory limit, and raise it afterwards by what was taken meanwhile.

    For what a card's driver takes in the host's memory when it starts: it is no part of the model,
    and no person who sets a limit knows how much it is.
    """
    import resource

    limit, most = resource.getrlimit(resource.RLIMIT_DATA)
    before = _data_bytes()
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    try:
        yield
    finally:
        if limit != resource.RLIM_INFINITY:
            limit += max(0, _data_bytes() - before)
            limit = limit if most == resource.RLIM_INFINITY else min(limit, most)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, most))


def _data_bytes() -> int:
    """Return the size of what ``RLIMIT_DATA`` counts, or 0 where the system does not tell."""
    try:
        lines = Path("/proc/self/status").read_text("utf-8").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmData"))
    except (OSError, StopIteration):
        return 0


def die_with_parent(parent: int) -> None:
    """Ask Linux to end this process when its parent ends, so that no orphan disturbs a launch.

    If the parent (by its process id) has already ended, this process ends now.
    """
    if sys.platform == "linux":
        import ctypes
        import signal

        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)


def pin(cores: list[int]) -> None:
    """Pin this process, and the threads it will start, to some cores."""
    if cores and hasattr(os, "sched_setaffinity"):
        try:
            os.sched_setaffinity(0, cores)
        except OSError as error:
            raise RefusedError("unsupported", f"cannot run on cores {cores}: {error}") from error


def sleep_precisely() -> None:
    """Let threads that this one starts wake within a microsecond of their time, not within 50.

    So much is Linux's slack by default (``prctl``'s ``PR_SET_TIMERSLACK``); elsewhere, it stays.
    """
    if sys.platform == "linux":
        import ctypes

        pr_set_timerslack = 29
        ctypes.CDLL(None).prctl(pr_set_timerslack, 1000)  # nanoseconds


def _switches() -> int:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw


def waited_s() -> float | None:
    """Return for how long this thread has been ready to run without getting a core."""
    try:
        counts = Path(f"/proc/self/task/{threading.get_native_id()}/schedstat").read_text("utf-8")
        return int(counts.split()[1]) / 1e9
    except (OSError, IndexError, ValueError):
        return None


def _stopped_s(files: Sequence[str]) -> float:
    """Return for how long quotas have stopped this process's control groups, in seconds.

    Version 1 of control groups counts nanoseconds, version 2 microseconds.
    """
    units = {"throttled_time": 1e9, "throttled_usec": 1e6}
    found = 0.0
    for file in files:
        with suppress(OSError):
            pairs = [line.split() for line in Path(file).read_text("utf-8").splitlines()]
            found = max(
                [found, *(int(value) / units[name] for name, value in pairs if name in units)]
            )
    return found
