"""A SIMULATED driver's library: the part of `pynvml` that Paretune reads, with no card behind it.

What it says comes from a JSON file, named by the variable SIMULATED_CARD; whoever plays the card
writes that file. It is loaded in place of the real module, in this process and in launches.
"""

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

AT_REST = {
    "cards": [{"uuid": "GPU-aaaa-1", "slices": []}],
    "memory": 500_000_000,
    "processes": {},
    "graphics": {},
    "utilization": 0,
    "process_utilization": [],
    "clock": 1980,
    "temperature": 40,
    "reasons": 0,
    "energy": 1_000_000,
    "slowed_ns": {},
}


class NVMLError(Exception):
    """What the real library raises."""


def said(name: str) -> Any:
    """Return what the simulated card says about something."""
    value = (AT_REST | _written())[name]
    if value is None:
        raise NVMLError("Not Supported")
    return value


def change(**values: Any) -> None:
    """Change what the simulated card says."""
    path = Path(os.environ["SIMULATED_CARD"])
    aside = path.with_suffix(".part")
    aside.write_text(json.dumps(_written() | values), "utf-8")
    aside.replace(path)


def _written() -> dict[str, Any]:
    path = Path(os.environ["SIMULATED_CARD"])
    return dict(json.loads(path.read_text("utf-8"))) if path.exists() else {}


def nvmlInit() -> None:  # noqa: N802
    if "SIMULATED_CARD" not in os.environ:
        raise NVMLError("Driver Not Loaded")


def nvmlSystemGetDriverVersion() -> str:  # noqa: N802
    return "0.0 (simulated)"


def nvmlDeviceGetCount() -> int:  # noqa: N802
    return len(said("cards"))


def nvmlDeviceGetHandleByIndex(index: int) -> str:  # noqa: N802
    card = said("cards")[index]
    if card.get("forbidden"):
        raise NVMLError("No Permission")
    return str(card["uuid"])


def nvmlDeviceGetHandleByUUID(uuid: str) -> str:  # noqa: N802
    known = [name for card in said("cards") for name in (card["uuid"], *card["slices"])]
    if uuid not in known:
        raise NVMLError("Not Found")
    return uuid


def nvmlDeviceGetUUID(handle: str) -> str:  # noqa: N802
    return handle


def nvmlDeviceGetName(handle: str) -> str:  # noqa: N802
    return "Simulated card"


def nvmlDeviceGetMigMode(handle: str) -> list[int]:  # noqa: N802
    return [int(bool(_card(handle)["slices"] or _card(handle).get("mig"))), 0]


def nvmlDeviceGetMaxMigDeviceCount(handle: str) -> int:  # noqa: N802
    return 7


def nvmlDeviceGetMigDeviceHandleByIndex(handle: str, index: int) -> str:  # noqa: N802
    slices = _card(handle)["slices"]
    if index >= len(slices):
        raise NVMLError("Not Found")
    return str(slices[index])


def nvmlDeviceGetDeviceHandleFromMigDeviceHandle(handle: str) -> str:  # noqa: N802
    for card in said("cards"):
        if handle in card["slices"]:
            return str(card["uuid"])
    raise NVMLError("Invalid Argument")


def nvmlDeviceGetCudaComputeCapability(handle: str) -> tuple[int, int]:  # noqa: N802
    return 9, 0


def nvmlDeviceGetMemoryInfo(handle: str) -> SimpleNamespace:  # noqa: N802
    return SimpleNamespace(total=80 * 2**30, used=said("memory"))


def nvmlDeviceGetComputeRunningProcesses(handle: str) -> list[SimpleNamespace]:  # noqa: N802
    return _processes("processes")


def nvmlDeviceGetGraphicsRunningProcesses(handle: str) -> list[SimpleNamespace]:  # noqa: N802
    return _processes("graphics")


def nvmlDeviceGetUtilizationRates(handle: str) -> SimpleNamespace:  # noqa: N802
    if handle.startswith("MIG"):
        raise NVMLError("Not Supported")
    return SimpleNamespace(gpu=said("utilization"))


def nvmlDeviceGetProcessUtilization(handle: str, after: int) -> list[SimpleNamespace]:  # noqa: N802
    return [
        SimpleNamespace(pid=pid, smUtil=share, timeStamp=after + 1)
        for pid, share in said("process_utilization")
    ]


def nvmlDeviceGetClockInfo(handle: str, kind: int) -> int:  # noqa: N802
    return int(said("clock"))


def nvmlDeviceGetTemperature(handle: str, sensor: int) -> int:  # noqa: N802
    return int(said("temperature"))


def nvmlDeviceGetCurrentClocksEventReasons(handle: str) -> int:  # noqa: N802
    return int(said("reasons"))


def nvmlDeviceGetTotalEnergyConsumption(handle: str) -> int:  # noqa: N802
    return int(said("energy"))


def nvmlDeviceGetFieldValues(handle: str, fields: list[int]) -> list[SimpleNamespace]:  # noqa: N802
    values = said("slowed_ns")
    return [
        SimpleNamespace(
            fieldId=field,
            nvmlReturn=0 if str(field) in values else 3,
            value=SimpleNamespace(ullVal=values.get(str(field), 0)),
        )
        for field in fields
    ]


def _processes(kind: str) -> list[SimpleNamespace]:
    found = said(kind).items()
    return [SimpleNamespace(pid=int(pid), usedGpuMemory=used) for pid, used in found]


def _card(handle: str) -> dict[str, Any]:
    return next(card for card in said("cards") if card["uuid"] == handle)
