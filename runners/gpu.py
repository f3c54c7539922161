"""NVIDIA cards, as their driver's management library (NVML) sees them."""

from __future__ import annotations

import os
from typing import Any


def cards() -> dict[str, str]:
    """Return the name and driver of each card by device (``gpu:0``); empty without a driver."""
    nvml = _nvml()
    if nvml is None:
        return {}
    driver = _text(nvml.nvmlSystemGetDriverVersion())
    return {
        f"gpu:{index}": f"{_text(nvml.nvmlDeviceGetName(_handle(nvml, index)))}, driver {driver}"
        for index in range(nvml.nvmlDeviceGetCount())
    }


def foreign_processes(device: str) -> list[int]:
    """Return the processes that compute on a card, other than this one and its children.

    Args:
        device: Such as ``"gpu:0"``; any other device has none.
    """
    nvml = _nvml() if device.startswith("gpu:") else None
    if nvml is None:
        return []
    import psutil

    handle = _handle(nvml, int(device.removeprefix("gpu:")))
    running = {process.pid for process in nvml.nvmlDeviceGetComputeRunningProcesses(handle)}
    children = psutil.Process().children(recursive=True)
    return sorted(running - {os.getpid(), *(child.pid for child in children)})


def _nvml() -> Any:
    """Return the initialized library, or ``None`` where there is no driver."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    return pynvml


def _handle(nvml: Any, index: int) -> Any:
    return nvml.nvmlDeviceGetHandleByIndex(index)


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
