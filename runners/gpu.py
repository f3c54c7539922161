"""NVIDIA cards: in CUDA's order, named by UUID, as their driver's library (NVML) sees them.

``gpu:0`` is CUDA's device 0 in a process of ours. CUDA counts the cards that
``CUDA_VISIBLE_DEVICES`` leaves, by default the fastest first; NVML counts all of them by their
place on the bus. Our processes set ``CUDA_DEVICE_ORDER=PCI_BUS_ID``, so both count in the same
order, and what the variable leaves is worked out here. A card is then named by its UUID, which is
the same in every process.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_PREFIX = "gpu:"
_BUSY_PERCENT = 5
"""Utilization above which something computes on a card. A card at rest reads 0; untested above."""
_INITIAL_PID_NAMESPACE = 0xEFFFFFFC  # PROC_PID_INIT_INO of the Linux kernel, the same everywhere


@dataclass(frozen=True)
class Card:
    """A card, or a slice of one (MIG), that CUDA offers to this process.

    Attributes:
        uuid: Its name for the driver, the same in every process: ``GPU-…`` or ``MIG-…``.
        name: The product's name.
        driver: The driver's version.
        memory_bytes: Its memory.
        compute_capability: Such as ``"9.0"``; empty if it cannot be read.
        is_slice: Whether it is a MIG slice: then clocks and energy are those of the whole card.
    """

    uuid: str
    name: str
    driver: str
    memory_bytes: int
    compute_capability: str
    is_slice: bool

    def __str__(self) -> str:
        more = f", compute capability {self.compute_capability}" if self.compute_capability else ""
        return (
            f"{self.name}, {self.memory_bytes / 2**30:.0f} GiB{more}, driver {self.driver}, "
            f"{self.uuid}"
        )


def is_card(device: str) -> bool:
    """Tell whether a device's name is that of an NVIDIA card, such as ``gpu:0``."""
    return device.startswith(_PREFIX)


def cards() -> dict[str, Card]:
    """Return the cards that CUDA offers to this process, by device; empty without a driver."""
    nvml = _nvml()
    if nvml is None:
        return {}
    driver = _text(nvml.nvmlSystemGetDriverVersion())
    found = {}
    for index, uuid in enumerate(_visible(nvml)):
        handle = nvml.nvmlDeviceGetHandleByUUID(uuid)
        capability = _read(nvml, "nvmlDeviceGetCudaComputeCapability", _whole(nvml, handle))
        memory = _read(nvml, "nvmlDeviceGetMemoryInfo", handle)
        found[f"{_PREFIX}{index}"] = Card(
            uuid,
            _text(nvml.nvmlDeviceGetName(handle)),
            driver,
            0 if memory is None else int(memory.total),
            ".".join(map(str, capability or ())),
            uuid.startswith("MIG"),
        )
    return found


def card_names() -> dict[str, str]:
    """Return product and driver of each card by device, without what differs between two alike."""
    return {device: f"{card.name}, driver {card.driver}" for device, card in cards().items()}


def uuid(device: str) -> str | None:
    """Return the UUID of a card; ``None`` for another device, or a card that is not there."""
    nvml = _nvml() if is_card(device) else None
    if nvml is None:
        return None
    number = device.removeprefix(_PREFIX)
    visible = _visible(nvml)
    return visible[int(number)] if number.isdigit() and int(number) < len(visible) else None


def launch_card(device: str) -> dict[str, str] | None:
    """Return what a launch needs to read a card's counters; ``None`` without a card.

    A launch may run in an interpreter that lacks NVML's module, so it gets the module's path.
    """
    found = uuid(device)
    if found is None:
        return None
    import pynvml

    return {"uuid": found, "nvml": str(pynvml.__file__)}


def energy_mj(device: str) -> float | None:
    """Return a card's energy counter in millijoules; ``None`` if there is none, or it is a slice.

    The counter is the whole card's: on a slice it would count the neighbours, too.
    """
    found = uuid(device)
    if found is None or found.startswith("MIG"):
        return None
    nvml = _nvml()
    handle = nvml.nvmlDeviceGetHandleByUUID(found)
    value = _read(nvml, "nvmlDeviceGetTotalEnergyConsumption", handle)
    return None if value is None else float(value)


def is_busy(device: str) -> bool:
    """Tell whether something computes on a card. Ask while nothing of ours runs there.

    The card's utilization decides: a process that holds memory but computes nothing disturbs
    nobody. Where the driver's process numbers are those that we see (on the machine itself, or in
    a virtual machine), a card without a foreign process is never busy. In a container the driver
    gives the host's numbers, so there the utilization alone decides.

    Limits: the driver's sample is up to a second old, so for that long after a launch of ours the
    card may still count as busy. A MIG slice has no utilization: there, a foreign process makes it
    busy, and in a container nothing does.
    """
    found = uuid(device)
    if found is None:
        return False
    others = _others(found)
    if others == []:
        return False
    nvml = _nvml()
    rates = _read(nvml, "nvmlDeviceGetUtilizationRates", nvml.nvmlDeviceGetHandleByUUID(found))
    return bool(others) if rates is None else int(rates.gpu) > _BUSY_PERCENT


def foreign_processes(device: str) -> list[int]:
    """Return the processes on a card other than this one, its parents and its children.

    Empty in a container, where the driver's process numbers mean nothing.

    Args:
        device: Such as ``"gpu:0"``; any other device has none.
    """
    found = uuid(device)
    return [] if found is None else _others(found) or []


def _others(name: str) -> list[int] | None:
    """Return the processes on a card that are not ours; ``None`` if numbers mean nothing here.

    They mean nothing in a container. Whether this is one, the namespace tells; and a process that
    the driver lists, but that is not here, tells it as well.
    """
    import psutil

    nvml = _nvml()
    handle = nvml.nvmlDeviceGetHandleByUUID(name)
    running: set[int] = set()
    for kind in ("Compute", "Graphics"):
        listed = _read(nvml, f"nvmlDeviceGet{kind}RunningProcesses", handle) or ()
        running |= {process.pid for process in listed}
    if not _sees_drivers_numbers() or not all(psutil.pid_exists(each) for each in running):
        return None
    here = psutil.Process()
    family = [*here.parents(), *here.children(recursive=True)]
    return sorted(running - {here.pid, *(each.pid for each in family)})


def _visible(nvml: Any) -> list[str]:
    """Return the UUIDs of the devices that CUDA offers, in its order."""
    physical: list[str] = []
    slices: dict[str, list[str]] = {}
    for index in range(nvml.nvmlDeviceGetCount()):
        handle = _read(nvml, "nvmlDeviceGetHandleByIndex", index)
        if handle is None:  # a card that this container may not use; CUDA does not see it either
            continue
        name = _text(nvml.nvmlDeviceGetUUID(handle))
        physical.append(name)
        if (_read(nvml, "nvmlDeviceGetMigMode", handle) or (0,))[0]:
            slices[name] = list(_slices(nvml, handle))
    return visible(os.environ.get("CUDA_VISIBLE_DEVICES"), physical, slices)


def visible(
    setting: str | None, physical: Sequence[str], slices: Mapping[str, Sequence[str]]
) -> list[str]:
    """Return what CUDA offers, by the rules of ``CUDA_VISIBLE_DEVICES`` (CUDA's manual, L.1).

    The list ends at the first entry that names nothing; a name may be shortened; a device that is
    named twice hides all. A card in MIG mode offers its first slice, and a process sees one slice
    at most.

    Args:
        setting: The variable; ``None`` if it is not set.
        physical: UUIDs of the cards, in the order of the bus.
        slices: UUIDs of the slices of each card that is in MIG mode.
    """
    offered = [
        (slices[name][0] if slices[name] else "") if name in slices else name for name in physical
    ]
    if setting is None:
        chosen = [name for name in offered if name]
    else:
        chosen = []
        known = [*physical, *(name for each in slices.values() for name in each)]
        for entry in (part.strip() for part in setting.split(",")):
            if entry.isdigit() and int(entry) < len(offered):
                name = offered[int(entry)]
            else:
                named = [
                    name
                    for name in known
                    if entry[:4] in ("GPU-", "MIG-") and name.startswith(entry)
                ]
                name = named[0] if len(named) == 1 else ""
                name = offered[physical.index(name)] if name in physical else name
            if not name:
                break
            chosen.append(name)
        if len(set(chosen)) < len(chosen):
            return []
    if chosen and chosen[0].startswith("MIG"):
        return chosen[:1]
    return [name for name in chosen if not name.startswith("MIG")]


def _slices(nvml: Any, handle: Any) -> Iterator[str]:
    for index in range(_read(nvml, "nvmlDeviceGetMaxMigDeviceCount", handle) or 0):
        part = _read(nvml, "nvmlDeviceGetMigDeviceHandleByIndex", handle, index)
        if part is not None:
            yield _text(nvml.nvmlDeviceGetUUID(part))


def _whole(nvml: Any, handle: Any) -> Any:
    """Return the card that a slice is a part of, or the card itself."""
    return _read(nvml, "nvmlDeviceGetDeviceHandleFromMigDeviceHandle", handle) or handle


def _sees_drivers_numbers() -> bool:
    """Tell whether this process is in the namespace of process numbers that the driver uses."""
    try:
        return Path("/proc/self/ns/pid").stat().st_ino == _INITIAL_PID_NAMESPACE
    except OSError:
        return sys.platform != "linux"  # elsewhere there are no such namespaces


def _nvml() -> Any:
    """Return the initialized library, or ``None`` where there is no driver.

    It stays initialized, which also keeps an idle card awake between launches.
    """
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    return pynvml


def _read(nvml: Any, function: str, *arguments: Any) -> Any:
    """Return what a function of NVML says, or ``None`` if this driver or card does not know."""
    try:
        return getattr(nvml, function)(*arguments)
    except (nvml.NVMLError, AttributeError):
        return None


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
