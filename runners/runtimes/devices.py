"""Which providers run here, which do not, and why: every provider is tried."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from paretune.runners.environment import fingerprint
from paretune.runners.failure import Failure
from paretune.runners.formats import FORMATS
from paretune.runners.runtimes.lease import waiting_until
from paretune.runners.runtimes.process_runner import ProcessRunner
from paretune.runners.runtimes.registry import RUNTIMES
from paretune.runners.runtimes.runner import Description, Samples
from paretune.runners.runtimes.settings import MeasurementSettings
from paretune.spaces import DeviceBusyError, RunSpec
from paretune.spaces.registry import resolve


@dataclass(frozen=True)
class Device:
    """One execution provider on this machine.

    Attributes:
        runner: The runner it belongs to.
        execution_provider: Its name.
        works: Whether a model really ran on it just now.
        detail: The nodes that ran on it, or why none did and what would help.
    """

    runner: str
    execution_provider: str
    works: bool
    detail: str


def devices() -> list[Device]:
    """Try every execution provider that the runtimes know, working ones first."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found = [each for runtime in RUNTIMES for each in _providers(runtime.make_runner(), folder)]
    return sorted(found, key=lambda device: not device.works)


def machine() -> str:
    """Return one line about this machine: processor, cores, memory, governor, system, cards."""
    values = fingerprint()
    cards = [f"{device}: {card}" for device, card in values.items() if device.startswith("gpu:")]
    return "; ".join(
        [
            f"{values['processor']} ({values['architecture']}), {values['cores']} cores, "
            f"{values['memory_gib']} GiB, governor {values['governor']}, {values['system']}",
            *cards,
        ]
    )


def _providers(runner: ProcessRunner, folder: Path) -> Iterator[Device]:
    described = runner.describe(folder)
    if isinstance(described, Failure):
        yield Device(runner.name, runner.record.default_provider, False, described.message)
        return
    model, inputs = _example(folder, runner.model_format)
    for provider in dict.fromkeys([*described.available, *described.known]):
        if provider in runner.record.unusable:
            yield Device(runner.name, provider, False, runner.record.unusable[provider])
        elif provider not in described.available:
            needs = runner.record.needs.get(provider, f"a build of {runner.runtime} with it")
            yield Device(runner.name, provider, False, f"not available: needs {needs}")
        elif model is None:
            reason = f"installed, but not tried: there is no example of a .{runner.model_format}"
            yield Device(runner.name, provider, False, reason)
        else:
            yield _try(runner, provider, described, model, Samples([inputs]), folder)


def _try(
    runner: ProcessRunner,
    provider: str,
    described: Description,
    model: Path,
    samples: Samples,
    folder: Path,
) -> Device:
    run = RunSpec(runner.name, provider, 1, 1)
    try:
        # A person who only asks for devices does not wait for a training to end.
        with waiting_until(time.monotonic() + _PATIENCE_S):
            ran = runner.predict(model, run, samples, folder, MeasurementSettings())
    except DeviceBusyError as busy:
        return Device(runner.name, provider, False, f"installed, but not tried: {busy}")
    if isinstance(ran, Failure):
        return Device(runner.name, provider, False, ran.message)
    versions = [f"{name} {v}" for name, v in described.versions.items() if name not in _OTHERS]
    nodes = ran.providers[provider].nodes
    detail = f"{', '.join(versions)}; ran {nodes} of {nodes} nodes of a test"
    return Device(runner.name, provider, True, detail)


_PATIENCE_S = 5.0
"""Seconds that a provider may take to start. Chosen by judgement."""

_OTHERS = ("python", "numpy")  # versions that are not the runtime's


def _example(folder: Path, model_format: str) -> tuple[Path | None, Path]:
    """Write an example of a format, if it has one, and its input."""
    inputs = folder / "test.npy"
    np.save(inputs, np.ones((1, 8), np.float32))
    write = FORMATS.get(model_format).example
    if write is None:
        return None, inputs
    path = folder / f"test.{model_format}"
    resolve(write)(path)
    return path, inputs
