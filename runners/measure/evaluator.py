"""The evaluator: from an artifact and a way to run it to a measurement or a failure."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from paretune.runners import environment
from paretune.runners.build.builder import Artifact
from paretune.runners.failure import Failure, FailureKind
from paretune.runners.measure.campaign import Launched, launch_once
from paretune.runners.measure.launch_statistics import summarize
from paretune.runners.measure.measurement import Measurement
from paretune.runners.measure.protocol import Timing, time_model
from paretune.runners.measure.statistic import Statistic
from paretune.runners.runtimes.launch import Launch
from paretune.runners.runtimes.proof import ProviderShare
from paretune.runners.runtimes.runner import Runner, Samples
from paretune.runners.runtimes.settings import MeasurementSettings
from paretune.runners.store.artifact_store import ArtifactStore, StageRecord
from paretune.spaces import RunSpec, digest

_QUALITY_VERSION = 3
"""Raise it when the same artifact would get another quality: kept qualities are then not used."""

RESAMPLES = 200
"""Bootstrap samples per model and split: each costs one computation of the workload's metric."""


@dataclass(frozen=True)
class Scored:
    """The quality of a model on a split.

    Attributes:
        value: The quality.
        resampled: The quality on bootstrap samples of the split; empty if it is not known.
        providers: What each execution provider ran, from the runtime's own profile.
    """

    value: float
    resampled: tuple[float, ...]
    providers: Mapping[str, ProviderShare]


class Evaluator:
    """Measures artifacts on the given runners.

    Args:
        runners: By name.
        versions: Versions of each runner's interpreter and runtime, by its name.
        store: Keeps qualities and raw samples.
        quality_metric: Name under which the quality is recorded.
        fingerprint: The workload's fingerprint: qualities belong to one workload.
        samples: A split's inputs, and the pipeline around the model if there is one.
        score: Returns the quality of outputs (a ``.npy`` file) on that split.
        resample: Returns the qualities of bootstrap samples of that split from outputs.
        settings: How much to measure.
    """

    def __init__(
        self,
        runners: Mapping[str, Runner],
        versions: Mapping[str, Mapping[str, str]],
        store: ArtifactStore,
        *,
        quality_metric: str,
        fingerprint: str,
        samples: Samples,
        score: Callable[[Path], float | Failure],
        resample: Callable[[Path], list[float] | Failure],
        settings: MeasurementSettings,
    ) -> None:
        self.runners = dict(runners)
        self.versions = dict(versions)
        self.store = store
        self.quality_metric = quality_metric
        self.fingerprint = fingerprint
        self.samples = samples
        self.score = score
        self.resample = resample
        self.settings = settings

    def model_format(self, run: RunSpec) -> str:
        """Return the name of the format that a run's runner takes."""
        runner = self.runners.get(run.runner)
        return "onnx" if runner is None else runner.model_format

    def measure(self, artifact: Artifact, run: RunSpec) -> Measurement | Failure:
        """Return quality and timing of an artifact, run in one way on real samples."""
        runner = self._runner(run)
        if isinstance(runner, Failure):
            return runner
        quality = self._quality(artifact, run)
        if isinstance(quality, Failure):
            return quality
        timed = self._time(runner, artifact, run)
        if isinstance(timed, Failure):
            return timed
        resampled = tuple(quality.params["resampled"])
        value = resampled_quality(quality.metrics[self.quality_metric], resampled)
        return replace(
            timed,
            statistics={**timed.statistics, self.quality_metric: value},
            providers={k: ProviderShare(**v) for k, v in quality.params["providers"].items()},
            resampled=resampled,
        )

    def time(self, artifact: Artifact, run: RunSpec) -> Measurement | Failure:
        """Return only the timing of an artifact, run in one way."""
        runner = self._runner(run)
        return runner if isinstance(runner, Failure) else self._time(runner, artifact, run)

    def scored(self, model: Path, run: RunSpec) -> Scored | Failure:
        """Return the quality of a model on the split, run in one way."""
        runner = self._runner(run)
        if isinstance(runner, Failure):
            return runner
        with self.store.scratch() as folder:
            prediction = runner.predict(model, run, self.samples, folder, self.settings)
            if isinstance(prediction, Failure):
                return prediction
            value = self.score(prediction.outputs)
            resampled = self.resample(prediction.outputs)
        if isinstance(value, Failure):
            return value
        # Some metrics need a sample of every class: then the quality has no interval.
        known = () if isinstance(resampled, Failure) else tuple(resampled)
        return Scored(value, known, prediction.providers)

    def launched(self, model: Path, run: RunSpec) -> Launched | Failure:
        """Time a model in one fresh process, once the device is free and idle."""
        runner = self._runner(run)
        if isinstance(runner, Failure):
            return runner
        with self.store.scratch() as folder:
            return launch_once(runner, model, run, self.samples, folder, self.settings)

    def _runner(self, run: RunSpec) -> Runner | Failure:
        if run.runner in self.runners:
            return self.runners[run.runner]
        message = f"there is no runner {run.runner!r}; known: {', '.join(self.runners)}"
        return Failure("measure", FailureKind.UNSUPPORTED, message)

    def _time(self, runner: Runner, artifact: Artifact, run: RunSpec) -> Measurement | Failure:
        with self.store.scratch() as folder:
            timing = time_model(
                runner,
                artifact.path,
                run,
                self.samples,
                folder,
                self.settings,
            )
            if isinstance(timing, Failure):
                return timing
        return self.measurement(artifact.path, run, timing)

    def measurement(self, model: Path, run: RunSpec, timing: Timing) -> Measurement:
        """Return the measurement of a model in the store from its timing, and keep raw samples."""
        with self.store.scratch() as folder:
            samples = self._keep(timing.launches, folder)
        statistics = summarize(timing.launches, run.batch_size)
        statistics["size_bytes"] = Statistic(float(model.stat().st_size))
        return Measurement(
            run=run,
            artifact=model.name,
            statistics=statistics,
            launches=len(timing.launches),
            contaminated_launches=timing.contaminated,
            canary_ms=timing.canary_ms,
            providers={},
            samples=samples,
            is_steady=all(launch.warmup_steady for launch in timing.launches),
            is_resolved=timing.is_resolved,
            host_was_idle=timing.host_was_idle,
            environment={**environment.fingerprint(), **self.versions[run.runner]},
        )

    def _quality(self, artifact: Artifact, run: RunSpec) -> StageRecord | Failure:
        """Return the quality from the exported artifact, in the runtime that is timed.

        The batch size is part of the key, because dynamic quantization takes its ranges from the
        batch, and so are the provider's options, which may allow a lower precision, the runtime's
        version, and the processor or card, which choose the kernels.
        """
        runner = self.runners[run.runner]
        options, card = runner.options(run), environment.fingerprint().get(runner.device(run))
        key = digest(
            {
                "stage": "evaluate",
                "version": _QUALITY_VERSION,
                "workload": self.fingerprint,
                "artifact": artifact.digest,
                "runner": run.target,
                "batch_size": run.batch_size,
                "graph_optimization": run.graph_optimization,
                "versions": dict(self.versions[run.runner]),
                "processor": environment.fingerprint()["processor"],
                "fallback_tolerance": self.settings.fallback_tolerance,
                **({"axes": dict(run.options)} if run.options else {}),
                **({"options": options} if options else {}),
                **({"card": card} if card else {}),
            }
        )
        record = self.store.record(key)
        if record is not None:
            return record
        started = time.perf_counter()
        scored = self.scored(artifact.path, run)
        if isinstance(scored, Failure):
            return scored
        record = StageRecord(
            stage="evaluate",
            key=key,
            params={
                "providers": {k: asdict(v) for k, v in scored.providers.items()},
                "resampled": [float(f"{each:.7g}") for each in scored.resampled],
            },
            parent=artifact.digest,
            output="",
            seconds=time.perf_counter() - started,
            metrics={self.quality_metric: scored.value},
        )
        self.store.commit(record)
        return record

    def _keep(self, launches: tuple[Launch, ...], folder: Path) -> str:
        """Store every timed call of every launch, and return the file's digest."""
        path = folder / "samples.npz"
        arrays: dict[str, Any] = {}
        for index, launch in enumerate(launches):
            arrays[f"launch_{index}_latency_ms"] = np.asarray(launch.latency_ms)
            if launch.end_to_end is not None:
                for part, times in asdict(launch.end_to_end).items():
                    arrays[f"launch_{index}_{part}"] = np.asarray(times)
        np.savez_compressed(path, **arrays)
        return self.store.put(path)


def resampled_quality(value: float, resampled: Sequence[float]) -> Statistic:
    """Return a quality with its 95 % interval over bootstrap samples, if there are any.

    It covers the quality on other samples of the same kind; on these samples the file's quality is
    exact.
    """
    if not len(resampled):
        return Statistic(value)
    low, high = np.percentile(resampled, [2.5, 97.5])
    return Statistic(value, float(low), float(high))
