"""What a study has to know of the machine that measures: asked there, wherever the search runs."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from paretune.runners import environment, gpu
from paretune.runners.failure import Failure
from paretune.runners.runtimes.launched.counters import energy_mj
from paretune.runners.runtimes.runner import Description
from paretune.runners.runtimes.runner_setup import RunnerSetup


@dataclass(frozen=True)
class DeviceDescription:
    """The machine that measures, and what its runners have.

    Attributes:
        machine: Processor, cores and cards (see :func:`paretune.runners.environment.fingerprint`).
        runners: Providers and versions of each runner by name, or why it does not start.
    """

    machine: Mapping[str, str]
    runners: Mapping[str, Description | Failure]


def describe(setups: Sequence[RunnerSetup], folder: Path) -> DeviceDescription:
    """Describe this machine and its runners; make missing environments of runners.

    Args:
        setups: How to make the runners.
        folder: The study's folder.

    Raises:
        ParetuneError: If an environment cannot be made, or a runtime is unknown.
    """
    found: dict[str, Description | Failure] = {}
    for setup in setups:
        with tempfile.TemporaryDirectory(prefix="paretune-") as scratch:
            found[setup.name] = setup.runner(folder).describe(Path(scratch))
    return DeviceDescription(environment.fingerprint(), found)


def without_energy(devices: Sequence[str]) -> list[str]:
    """Return those of this machine's devices that have no readable energy counter."""
    return [each for each in devices if _energy_mj(each) is None]


def _energy_mj(device: str) -> float | None:
    return gpu.energy_mj(device) if gpu.is_card(device) else energy_mj(device)
