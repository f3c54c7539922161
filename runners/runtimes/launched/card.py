"""A card's counters while a model is timed there, from its driver's library (NVML)."""

import importlib.util
import os
import sys
import time
from collections.abc import Callable
from typing import Any

from .backend import Job

_ENERGY_SECONDS = 1.0
"""Least time over which energy is counted: the driver renews its counter ten times a second or so,
and its error is then at most about a tenth. Untested on other cards than the one we had.
"""
_OTHERS_PERCENT = 5
"""Share of the card's time above which another process disturbed a launch."""
_SLOWED_SHARE = 0.01
"""Share of the timed seconds in which the card was slowed down that counts as throttling."""

# Bits of nvmlDeviceGetCurrentClocksEventReasons. The first group means that the card protects
# itself, the second that it runs as its owner set it up.
THROTTLED = {
    0x08: "hardware slowdown",
    0x20: "software thermal slowdown",
    0x40: "hardware thermal slowdown",
    0x80: "power brake",
}
LIMITED = {
    0x02: "clocks set by its owner",
    0x04: "power cap",
    0x10: "sync boost",
    0x100: "display clocks",
}
# Counters of nanoseconds in which a reason held, of nvmlDeviceGetFieldValues.
_COUNTED = {269: 0x20, 270: 0x40, 271: 0x80, 74: 0x04}


def order_cards_by_bus() -> None:
    """Make CUDA count cards in the order of the bus, as the driver's library does.

    It has an effect only before CUDA starts in this process.
    """
    os.environ["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"


class CardCounters:
    """What a card says about a launch on it. Make it before the model is loaded.

    Every value is ``None``, or empty, where the driver or the card does not know it.

    Args:
        uuid: The card's UUID.
        nvml: Path of NVML's module, which the launch's interpreter may lack.
    """

    def __init__(self, uuid: str, nvml: str) -> None:
        self._nvml = _module(nvml)
        self._nvml.nvmlInit()
        self.uuid = uuid
        self._handle = self._nvml.nvmlDeviceGetHandleByUUID(uuid)
        # Clocks, temperature and energy belong to the whole card, also where this is a slice.
        whole = self._read("nvmlDeviceGetDeviceHandleFromMigDeviceHandle", self._handle)
        self._card = self._handle if whole is None else whole
        self._is_slice = uuid.startswith("MIG")
        self._memory_before, self._before = self._memory(), self._listed()
        self._memory_bytes: int | None = None
        self._clocks: list[float] = []
        self._began, self._began_at = 0.0, 0
        self._slowed: dict[int, int] = {}
        self._energy_mj: float | None = None
        self._reasons = self._others = 0
        self._temperature: float | None = None

    def begin(self) -> None:
        """Note clocks and counters, right before the timed calls."""
        self.look()
        self._slowed = self._slowed_ns()
        self._energy_mj = self._energy()
        self._began, self._began_at = time.perf_counter(), int(time.time() * 1e6)

    def end(self) -> None:
        """Note clocks and counters, right after the timed calls."""
        seconds = time.perf_counter() - self._began
        self._reasons = self._read("nvmlDeviceGetCurrentClocksEventReasons", self._card) or 0
        self.look()
        for bit, after in self._slowed_ns().items():
            if after - self._slowed.get(bit, after) > _SLOWED_SHARE * seconds * 1e9:
                self._reasons |= bit
        self._temperature = self._read("nvmlDeviceGetTemperature", self._card, 0)
        self._others = self._other_processes()

    def look(self) -> None:
        """Note the clock and the memory as they are now."""
        clock = self._read("nvmlDeviceGetClockInfo", self._card, 1)  # of the multiprocessors
        if clock is not None:
            self._clocks.append(float(clock))
        held = self._held()
        if held is not None:
            self._memory_bytes = max(held, self._memory_bytes or 0)

    def energy_mj_per_call(self, call: Callable[[int], Any], calls: int) -> float | None:
        """Return the energy of a call, since :meth:`begin`; call on until that is long enough.

        Args:
            call: The timed call.
            calls: How many there were since :meth:`begin`.
        """
        if self._energy_mj is None:
            return None
        while time.perf_counter() - self._began < _ENERGY_SECONDS:
            call(calls)
            calls += 1
        after = self._energy()
        return (
            None if after is None or after < self._energy_mj else (after - self._energy_mj) / calls
        )

    def state(self) -> dict[str, Any]:
        """Return the state as plain values (see ``CardState`` in ``launch.py``)."""
        return {
            "uuid": self.uuid,
            "memory_bytes": self._memory_bytes,
            # The last two looks: right before the timed calls, and right after them.
            "sm_clock_mhz": min(self._clocks[-2:], default=None),
            "temperature_c": self._temperature,
            "throttled": [name for bit, name in THROTTLED.items() if self._reasons & bit],
            "limited": [name for bit, name in LIMITED.items() if self._reasons & bit],
            "other_processes": self._others,
        }

    def _held(self) -> int | None:
        """Return the memory that this process holds.

        In a container the driver lists other process numbers: then what the card has given away
        since this process began stands in, which is right as long as the card is leased.
        """
        own = self._listed().get(os.getpid())
        if own is not None and os.getpid() not in self._before:
            return own
        now = self._memory()
        return None if now is None or self._memory_before is None else now - self._memory_before

    def _listed(self) -> dict[int, int | None]:
        processes = self._read("nvmlDeviceGetComputeRunningProcesses", self._handle) or ()
        return {process.pid: process.usedGpuMemory for process in processes}

    def _memory(self) -> int | None:
        information = self._read("nvmlDeviceGetMemoryInfo", self._handle)
        return None if information is None else int(information.used)

    def _energy(self) -> float | None:
        if self._is_slice:  # it would count the neighbours
            return None
        value = self._read("nvmlDeviceGetTotalEnergyConsumption", self._card)
        return None if value is None else float(value)

    def _slowed_ns(self) -> dict[int, int]:
        values = self._read("nvmlDeviceGetFieldValues", self._card, list(_COUNTED)) or ()
        return {_COUNTED[v.fieldId]: v.value.ullVal for v in values if v.nvmlReturn == 0}

    def _other_processes(self) -> int:
        """Return how many other processes computed since :meth:`begin`.

        In a container this process has another number there, so one of those listed is it.
        """
        samples = self._read("nvmlDeviceGetProcessUtilization", self._card, self._began_at) or ()
        busy = {
            sample.pid
            for sample in samples
            if sample.timeStamp >= self._began_at and sample.smUtil >= _OTHERS_PERCENT
        }
        if os.getpid() in busy or os.getpid() in self._listed():
            return len(busy - {os.getpid()})
        return max(0, len(busy) - 1)

    def _read(self, function: str, *arguments: Any) -> Any:
        try:
            return getattr(self._nvml, function)(*arguments)
        except (self._nvml.NVMLError, AttributeError):
            return None


def card_counters(job: Job) -> CardCounters | None:
    """Return the counters of the job's card; ``None`` without a card, or without its library."""
    card = job.get("card")
    if not card:
        return None
    try:
        return CardCounters(card["uuid"], card["nvml"])
    except Exception as error:
        print(f"the counters of the card {card['uuid']} cannot be read: {error}", flush=True)
        return None


def _module(path: str) -> Any:
    """Return NVML's module from its file: the interpreter of a launch may lack the package."""
    spec = importlib.util.spec_from_file_location("paretune_pynvml", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"NVML's module {path} cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # it looks itself up there
    spec.loader.exec_module(module)
    return module
