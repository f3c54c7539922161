"""What runs in the build worker's process: its start, and a function for each job.

The process keeps the loaded workload between jobs; what a job prints goes to the worker's log.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from paretune.runners.build.builder import Artifact, Builder, Training
from paretune.runners.failure import Failure, FailureKind
from paretune.runners.runtimes.launched.counters import die_with_parent, limit_memory
from paretune.runners.runtimes.launched.pipeline import save_requests
from paretune.runners.runtimes.service_requests import checked_requests
from paretune.runners.store.artifact_store import ArtifactStore
from paretune.runners.telemetry import switch_off_telemetry
from paretune.runners.workload.loaded import LoadedWorkload, WorkloadInfo
from paretune.runners.workload.user_code import load_plugins
from paretune.spaces import BuildSpec, WorkloadError

STAGE_MARK = "paretune stage: "
"""What a line of the log begins with that names the stage begun."""


@dataclass(frozen=True)
class WorkerSettings:
    """Where a worker works.

    Attributes:
        workload: ``path/to/file.py:ClassName``, relative to ``folder``.
        folder: The folder that relative paths start from.
        store: The artifact store's folder.
        log: File for what jobs print.
        timeout_s: Deadline of one build.
        threads: Threads that one operator may use in training; all cores if ``None``.
        memory_limit_bytes: Most data that a build may hold; no limit if ``None``.
        plugins: Files that register records, relative to ``folder``; they are run before all else.
    """

    workload: str
    folder: Path
    store: Path
    log: Path
    timeout_s: float = 3600.0
    threads: int | None = None
    memory_limit_bytes: int | None = None
    plugins: tuple[str, ...] = ()


class _State:
    """What the worker keeps between jobs."""

    settings: WorkerSettings
    fingerprint: str | None = None
    builder: Builder | None = None
    plugin_error: WorkloadError | None = None


def start(settings: WorkerSettings, fingerprint: str | None, parent: int) -> None:
    """Get the process ready: limits, signals, telemetry off; it dies with its parent."""
    die_with_parent(parent)
    switch_off_telemetry()
    if settings.threads is not None:
        os.environ["OMP_NUM_THREADS"] = str(settings.threads)
    _State.settings = settings
    _State.fingerprint = fingerprint
    limit_memory(settings.memory_limit_bytes)
    # Ctrl-C reaches every process of the terminal: what becomes of the worker its parent decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if settings.plugins:
        try:
            with _captured():
                load_plugins(settings.plugins, settings.folder)
        except WorkloadError as error:
            _State.plugin_error = error  # told by the first job: here it would end the process


def _builder() -> Builder:
    if _State.plugin_error is not None:
        raise _State.plugin_error
    if _State.builder is None:
        settings = _State.settings
        loaded = LoadedWorkload(settings.workload, settings.folder)
        if _State.fingerprint not in (None, loaded.info.fingerprint):
            raise WorkloadError(
                f"{settings.workload} gives other data, or has other code, than when the search "
                f"started: seed what is random in data(), and leave the file alone meanwhile"
            )
        _State.builder = Builder(
            loaded,
            ArtifactStore(settings.store),
            lambda stage: print(STAGE_MARK + stage, flush=True),
        )
    return _State.builder


@contextmanager
def _captured() -> Iterator[None]:
    """Send everything printed, by Python or below it, to the log."""
    sys.stdout.flush()
    sys.stderr.flush()
    saved = os.dup(1), os.dup(2)
    log = os.open(_State.settings.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        os.dup2(log, 1)
        os.dup2(log, 2)
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for stream, descriptor in enumerate(saved, start=1):
            os.dup2(descriptor, stream)
            os.close(descriptor)
        os.close(log)


def describe() -> WorkloadInfo:
    """Load the workload, and all that builds need; say what the study needs to know of it."""
    with _captured():
        # loky takes the memory after a worker's first job as its normal size, and replaces a worker
        # that grows far beyond it: what every build needs is loaded in the first.
        for module in ("nncf", "onnx", "onnxruntime", "torch_pruning"):
            importlib.import_module(module)
        return _builder().loaded.info


def epoch_seconds() -> dict[str, float]:
    """Return what an epoch of training takes, by model."""
    from paretune.runners.build.epoch_time import epoch_seconds

    with _captured():
        return epoch_seconds(_builder().loaded)


def put_inputs(split: str) -> list[str]:
    """Store each of a split's inputs; return their digests."""
    import numpy as np

    with _captured():
        builder = _builder()
        digests: list[str] = []
        with builder.store.scratch() as folder:
            for array in getattr(builder.loaded.data, split).all_inputs:
                path = folder / f"inputs_{len(digests)}.npy"
                np.save(path, array)
                digests.append(builder.store.put(path))
        return digests


def put_requests(split: str) -> str:
    """Store a split's requests; return the file's digest."""
    with _captured():
        builder = _builder()
        requests = checked_requests(builder.loaded, split)
        with builder.store.scratch() as folder:
            path = folder / "requests.npz"
            save_requests(path, requests)
            return builder.store.put(path)


def build(spec: BuildSpec, model_format: str, is_skeleton: bool) -> Artifact | Failure:
    """Build an artifact."""
    with _captured():
        return _builder().build(spec, model_format, is_skeleton=is_skeleton)


def train(spec: BuildSpec, until: str) -> Training | Failure:
    """Run a build's stages up to a training stage."""
    with _captured():
        return _builder().train(spec, until)


def missing(spec: BuildSpec, model_format: str) -> list[str] | Failure:
    """Return the names of the stages that a build would have to run."""
    with _captured():
        return _builder().missing(spec, model_format)


def score(outputs: Path, split: str) -> float | Failure:
    """Return the quality of outputs (a ``.npy`` file) on a split."""
    import numpy as np

    with _captured():
        loaded = _builder().loaded
        values = np.load(outputs)
        if not np.isfinite(values).all():
            message = "the exported model gives NaN or infinite outputs"
            return Failure("evaluate", FailureKind.ACCURACY, message)
        try:
            return loaded.score(values, split)
        except (Exception, SystemExit) as error:
            return Failure("evaluate", FailureKind.INVALID, f"the metric failed: {error}")


def resample(outputs: Path, split: str, count: int) -> list[float] | Failure:
    """Return the qualities of bootstrap samples of a split: the same ones for any outputs."""
    import numpy as np

    with _captured():
        loaded = _builder().loaded
        values = np.load(outputs)
        rng = np.random.default_rng(0)
        try:
            return [
                loaded.score(values, split, rng.integers(len(values), size=len(values)))
                for _ in range(count)
            ]
        except (Exception, SystemExit) as error:
            message = f"the metric failed on a bootstrap sample: {error}"
            return Failure("evaluate", FailureKind.INVALID, message)
