"""The code of the build worker's process: its start, and one function per job.

The process keeps the loaded workload between jobs; output of a job goes to the worker's log.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from paretune.runners.build.builder import Builder
from paretune.runners.execute.job import Build, Job, Missing, Train
from paretune.runners.execute.ongoing_stage import OngoingStage, StageFile
from paretune.runners.execute.outcome import Outcome
from paretune.runners.execute.outcomes import Outcomes
from paretune.runners.failure import Failure, FailureKind
from paretune.runners.measure.judged import Judged
from paretune.runners.measure.stored_samples import StoredSamples
from paretune.runners.runtimes.launched.card import order_cards_by_bus
from paretune.runners.runtimes.launched.counters import die_with_parent, limit_memory
from paretune.runners.runtimes.launched.pipeline import save_requests
from paretune.runners.runtimes.service_requests import checked_requests
from paretune.runners.store.artifact_store import ArtifactStore
from paretune.runners.store.open_store import open_store
from paretune.runners.telemetry import switch_off_telemetry
from paretune.runners.workload.data import is_positional
from paretune.runners.workload.datasets.stored_targets import read_targets
from paretune.runners.workload.datasets.written import chosen_rows, write_samples
from paretune.runners.workload.learning.progress import listening
from paretune.runners.workload.loaded import LoadedWorkload, WorkloadInfo
from paretune.runners.workload.metrics.functions import picked
from paretune.runners.workload.metrics.judge import OutputError, judge, paired
from paretune.runners.workload.outputs import stored_outputs
from paretune.runners.workload.user_code import load_plugins
from paretune.spaces import SCHEMES, WorkloadError

STAGE_MARK = "paretune stage: "
"""Prefix of the log line that names a stage when it begins."""


@dataclass(frozen=True)
class WorkerSettings:
    """The settings of a build worker.

    Attributes:
        workload: ``path/to/file.py:ClassName``, relative to ``folder``.
        folder: The folder that relative paths start from.
        store: The artifact store's folder on this machine.
        log: File for the output of jobs.
        timeout_s: Deadline per build.
        threads: Threads per operator in training; all cores if ``None``.
        memory_limit_bytes: Memory limit per build, for data; no limit if ``None``.
        plugins: Files that register records, relative to ``folder``; the worker runs them first.
        card: The card to train on, as ``CUDA_VISIBLE_DEVICES`` names it; ``None`` leaves the choice
            to CUDA. The user's own training sees no other card either.
        store_url: The URL of the store, if the folder is only its cache.
    """

    workload: str
    folder: Path
    store: Path
    log: Path
    timeout_s: float = 3600.0
    threads: int | None = None
    memory_limit_bytes: int | None = None
    plugins: tuple[str, ...] = ()
    card: str | None = None
    store_url: str | None = None

    def open_store(self, waiting: Path | None = None) -> ArtifactStore:
        """Return the artifact store (see :func:`open_store`)."""
        return open_store(self.store, self.store_url, waiting)

    @property
    def waiting(self) -> Path:
        """A file that exists while the worker waits for another one's stage."""
        return self.log.with_suffix(".waiting")

    @property
    def stage(self) -> StageFile:
        """The file that says which stage the worker runs, and how far it is."""
        return StageFile(self.log.with_suffix(".stage"))


class _State:
    """State that the worker keeps between jobs."""

    settings: WorkerSettings
    fingerprint: str | None = None
    builder: Builder | None = None
    plugin_error: WorkloadError | None = None
    stage: OngoingStage = OngoingStage("")


def start(settings: WorkerSettings, fingerprint: str | None, parent: int) -> None:
    """Prepare the process: limits, signals, telemetry off, end with its parent."""
    die_with_parent(parent)
    switch_off_telemetry()
    order_cards_by_bus()
    if settings.card is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = settings.card
    if settings.threads is not None:
        os.environ["OMP_NUM_THREADS"] = str(settings.threads)
    _State.settings = settings
    _State.fingerprint = fingerprint
    limit_memory(settings.memory_limit_bytes)
    # Ctrl-C reaches every process of the terminal, but the parent decides what happens to the
    # worker.
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
                f"{settings.workload} has changed since the search started, or its data() is not "
                "deterministic: seed what is random in data(), and do not edit the file during a "
                "search"
            )
        _State.builder = Builder(
            loaded,
            settings.open_store(settings.waiting),
            _announce,
        )
    return _State.builder


def _announce(stage: str) -> None:
    _tell(replace(_State.stage, stage=stage, epoch=None))
    print(STAGE_MARK + stage, flush=True)


def _tell(stage: OngoingStage) -> None:
    """Let the study know which stage runs, and how far it is."""
    _State.stage = stage
    with suppress(OSError):  # a full disk shows where something is kept
        _State.settings.stage.write(stage)


@contextmanager
def _captured() -> Iterator[None]:
    """Redirect all output, of Python and of native code, to the log."""
    sys.stdout.flush()
    sys.stderr.flush()
    saved = os.dup(1), os.dup(2)
    log = os.open(_State.settings.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        os.dup2(log, 1)
        os.dup2(log, 2)
        yield
    finally:
        _release_card()
        sys.stdout.flush()
        sys.stderr.flush()
        for stream, descriptor in enumerate(saved, start=1):
            os.dup2(descriptor, stream)
            os.close(descriptor)
        os.close(log)


def _release_card() -> None:
    """Give the card's memory back after a job: the next thing there may be a measurement."""
    if "torch" in sys.modules:
        from paretune.runners.workload.learning.forward import release_card

        release_card()


def describe() -> WorkloadInfo:
    """Load the workload and everything that builds need; describe the workload for the study."""
    from paretune.runners.workload.learning.first_pass import check_first_loss

    with _captured():
        # loky takes the memory after a worker's first job as its normal size, and replaces a worker
        # that grows far beyond it: so the first job loads everything that builds need.
        for module in ("nncf", "onnx", "onnxruntime", "torch_pruning"):
            importlib.import_module(module)
        loaded = _builder().loaded
        loaded.check_metrics()
        check_first_loss(loaded)
        return replace(loaded.info, unfit=_unfit(loaded), remarks=(*loaded.workload.remarks(),))


def _unfit(loaded: LoadedWorkload) -> dict[str, str]:
    """Return why a scheme does not apply to a user's ONNX file, by the scheme's name."""
    from paretune.runners.build.schemes.unfit import unfit_schemes

    if loaded.model_file is None:
        return {}
    constants = {name: each.value for name, each in loaded.layout.constants.items()}
    return unfit_schemes(loaded.model_file, SCHEMES, constants)


def epoch_seconds() -> dict[str, float]:
    """Return the seconds per epoch of training, by model."""
    from paretune.runners.build.epoch_time import epoch_seconds

    with _captured():
        return epoch_seconds(_builder().loaded)


def put_samples(split: str, most: int | None = None) -> StoredSamples:
    """Store the inputs and targets of a split, or of ``most`` of its samples, chosen evenly."""
    with _captured():
        builder = _builder()
        data = getattr(builder.loaded.data, split)
        with builder.store.scratch() as folder:
            files = write_samples(data, folder, chosen_rows(len(data), most))
            return StoredSamples(
                split,
                tuple(builder.store.put(path, move=True) for path in files.inputs.values()),
                targets=builder.store.put(files.targets, move=True),
                names=() if is_positional(data.input_names) else tuple(files.inputs),
                layout=builder.loaded.layout,
            )


def put_requests(split: str, most: int | None = None) -> str:
    """Store the requests of the same samples; return the file's digest."""
    with _captured():
        builder = _builder()
        requests = checked_requests(builder.loaded, split)
        rows = chosen_rows(len(requests), most)
        if rows is not None:
            requests = picked(requests, rows)
        with builder.store.scratch() as folder:
            path = folder / "requests.npz"
            save_requests(path, requests)
            return builder.store.put(path)


def perform(job: Job) -> Outcome:
    """Return the outcome of a build job; do the job unless its outcome is kept."""
    student = getattr(getattr(job, "spec", None), "student", "")
    _State.stage = OngoingStage("", student, job.occasion)
    with _captured(), listening(lambda epoch: _tell(replace(_State.stage, epoch=epoch))):
        builder = _builder()
        try:
            return Outcomes(builder.store).once(job, lambda: _value(builder, job))
        finally:
            _State.settings.stage.remove()


def _value(builder: Builder, job: Job) -> Any:
    match job:
        case Missing():
            return tuple(builder.missing(job.spec, job.model_format))
        case Train():
            return builder.train(job.spec, job.until)
        case Build():
            return builder.build(job.spec, job.model_format, is_skeleton=job.is_skeleton)
    raise TypeError(f"a build worker does no {type(job).__name__}")


def judge_outputs(
    outputs: Path, samples: StoredSamples, names: Sequence[str], resamples: int
) -> Judged | Failure:
    """Return what the metrics say about a model's outputs (see ``stored_outputs``) on samples.

    Args:
        outputs: The folder of the outputs.
        samples: What the model was run on.
        names: Names of the outputs, if the artifact says so.
        resamples: Bootstrap samples of the objective.
    """
    with _captured():
        builder = _builder()
        try:
            targets = _targets(builder, samples)
            given = paired(stored_outputs(outputs, names), targets)
            found = judge(builder.loaded.metrics, given, resamples)
        except OutputError as error:
            return Failure("evaluate", FailureKind.ACCURACY, str(error))
        except WorkloadError as error:
            return Failure("evaluate", FailureKind.INVALID, str(error))
        answers = ""
        if found.answers is not None:
            with builder.store.scratch() as folder:
                np.savez_compressed(folder / "answers.npz", answers=found.answers)
                answers = builder.store.put(folder / "answers.npz", move=True)
        return Judged(dict(found.values), found.resampled, answers)


def _targets(builder: Builder, samples: StoredSamples) -> Iterator[Any]:
    """Return the samples' targets; of samples of earlier versions, those of the whole split."""
    path = builder.store.get(samples.targets) if samples.targets else None
    return builder.loaded.targets(samples.split) if path is None else read_targets(path)
