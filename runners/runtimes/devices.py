"""Which providers run here, which do not, and why: every provider is tried."""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from paretune.runners import gpu
from paretune.runners.environment import fingerprint
from paretune.runners.failure import Failure
from paretune.runners.formats import FORMATS
from paretune.runners.runtimes.lease import waiting_until
from paretune.runners.runtimes.process_runner import ProcessRunner
from paretune.runners.runtimes.registry import RUNTIMES
from paretune.runners.runtimes.runner import Description, Samples
from paretune.runners.runtimes.settings import MeasurementSettings
from paretune.spaces import DEFAULT_RUNNER, DeviceBusyError, RunSpec
from paretune.spaces.registry import resolve


@dataclass(frozen=True)
class Device:
    """One execution provider on this machine.

    Attributes:
        runner: The runner it belongs to.
        execution_provider: Its name, with the card if there are several.
        works: Whether a model really ran on it just now.
        detail: The nodes that ran on it, or why none did and what would help.
    """

    runner: str
    execution_provider: str
    works: bool
    detail: str


def devices(*, slow: bool = False) -> list[Device]:
    """Try every execution provider that the runtimes know, working ones first.

    Args:
        slow: Whether to try those as well whose first call may take half an hour, such as those
            that build an engine.
    """
    with tempfile.TemporaryDirectory() as name:
        runners = [runtime.make_runner() for runtime in RUNTIMES]
        found = [each for runner in runners for each in _providers(runner, Path(name), slow=slow)]
    return sorted(found, key=lambda device: not device.works)


def machine() -> str:
    """Return a line about this machine, and one about each card that CUDA offers here."""
    values = fingerprint()
    return "\n".join(
        [
            f"{values['processor']} ({values['architecture']}), {values['cores']} cores, "
            f"{values['memory_gib']} GiB, governor {values['governor']}, {values['system']}",
            *(f"{device}: {card}" for device, card in gpu.cards().items()),
        ]
    )


def _providers(runner: ProcessRunner, folder: Path, *, slow: bool) -> Iterator[Device]:
    described = runner.describe(folder)
    if isinstance(described, Failure):
        yield Device(runner.name, runner.record.default_provider, False, described.message)
        return
    model, inputs = _example(folder, runner.model_format)
    for provider in dict.fromkeys([*described.available, *described.known]):
        if provider in runner.record.unusable:
            yield Device(runner.name, provider, False, runner.record.unusable[provider])
        elif provider in described.missing:
            reason = f"installed, but does not run: {described.missing[provider]}"
            yield Device(runner.name, provider, False, reason)
        elif provider not in described.available:
            needs = runner.record.needs.get(provider, f"a build of {runner.runtime} with it")
            detail = f"not available: needs {needs}{_install(runner, provider)}"
            yield Device(runner.name, provider, False, detail)
        elif runner.record.start_s.get(provider, 0.0) > _SLOW_S and not slow:
            reason = "installed, but not tried: its first call takes minutes; --slow tries it"
            yield Device(runner.name, provider, False, reason)
        elif model is None:
            reason = f"installed, but not tried: there is no example of a .{runner.model_format}"
            yield Device(runner.name, provider, False, reason)
        else:
            for each, name in _on_every_card(runner, provider):
                tried = _try(each, provider, described, model, Samples([inputs]), folder)
                yield replace(tried, execution_provider=name)


def _on_every_card(runner: ProcessRunner, provider: str) -> Iterator[tuple[ProcessRunner, str]]:
    """Yield a runner for every card that a provider can run on, and what to call the provider."""
    count = len(gpu.cards()) if gpu.is_card(runner.device(_run(runner, provider))) else 1
    if count < 2:
        yield runner, provider
        return
    for number in range(count):
        options = {provider: {"device_id": str(number)}}
        made = runner.record.make_runner(runner.name, runner.python, options)
        yield made, f"{provider} on gpu:{number}"


def _run(runner: ProcessRunner, provider: str) -> RunSpec:
    return RunSpec(runner.name, provider, 1, 1)


def _try(
    runner: ProcessRunner,
    provider: str,
    described: Description,
    model: Path,
    samples: Samples,
    folder: Path,
) -> Device:
    run = _run(runner, provider)
    try:
        # A person who only asks for devices does not wait for a training to end.
        with waiting_until(time.monotonic() + _PATIENCE_S):
            ran = runner.predict(model, run, samples, folder, MeasurementSettings())
    except DeviceBusyError as busy:
        return Device(runner.name, provider, False, f"installed, but not tried: {busy}")
    if isinstance(ran, Failure):
        detail = ran.message + _missing_libraries(f"{ran.message}\n{ran.log}", runner, provider)
        return Device(runner.name, provider, False, detail)
    versions = [f"{name} {v}" for name, v in described.versions.items() if name not in _OTHERS]
    nodes = ran.providers[provider].nodes
    detail = f"{', '.join(versions)}; ran {nodes} of {nodes} nodes of a test"
    return Device(runner.name, provider, True, detail)


def _install(runner: ProcessRunner, provider: str) -> str:
    """Return the words that say how to install what a provider needs, if pip can."""
    packages = runner.record.requirements.get(provider)
    if packages is None:
        return ""
    entries = ", ".join(f"'{each}'" for each in [*packages.split(), "numpy"])
    other = "" if runner.runtime == DEFAULT_RUNNER else f"runtime: {runner.runtime}, "
    return f". In a study: `runners: {{NAME: {{{other}requirements: [{entries}]}}}}`"


def _missing_libraries(text: str, runner: ProcessRunner, provider: str) -> str:
    """Return the libraries that the loader did not find, each with what has it."""
    found = dict.fromkeys(re.findall(r"\b(lib[\w+-]+\.so[.\d]*): cannot open shared", text))
    if not found:
        return ""
    words = [
        f"{library} ({next((has for name, has in _LIBRARIES if library.startswith(name)), '?')})"
        for library in found
    ]
    return f". Missing: {', '.join(words)}{_install(runner, provider)}"


_LIBRARIES = (
    ("libcuda.so", "the NVIDIA driver"),
    ("libcudart", "nvidia-cuda-runtime"),
    ("libnvrtc", "nvidia-cuda-nvrtc"),
    ("libcublas", "nvidia-cublas"),
    ("libcufft", "nvidia-cufft"),
    ("libcurand", "nvidia-curand"),
    ("libcudnn", "nvidia-cudnn-cu13"),
    ("libnvinfer", "tensorrt-cu13"),
    ("libnvonnxparser", "tensorrt-cu13"),
)
"""Names of libraries begin with the first; the second has them, a package of pip but for one."""
_PATIENCE_S = 5.0
"""Seconds that a provider may take to start. Chosen by judgement."""

_SLOW_S = 600.0  # compilers need less; autotuners and builders of engines may need more
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
