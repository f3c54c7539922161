"""The evaluator: from an artifact and a way to run it to a measurement or a failure."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from copy import copy
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from paretune.runners import environment
from paretune.runners.failure import Failure, FailureKind
from paretune.runners.measure.campaign import Launched, launch_once
from paretune.runners.measure.judged import Judged
from paretune.runners.measure.launch_statistics import summarize
from paretune.runners.measure.measurement import Measurement
from paretune.runners.measure.protocol import Timing, time_model
from paretune.runners.measure.statistic import Statistic
from paretune.runners.measure.stored_samples import StoredSamples
from paretune.runners.runtimes.launch import Launch
from paretune.runners.runtimes.lease import CPU, lease
from paretune.runners.runtimes.proof import ProviderShare
from paretune.runners.runtimes.runner import Runner
from paretune.runners.runtimes.runner_setup import RunnerSetup
from paretune.runners.runtimes.settings import MeasurementSettings
from paretune.runners.store.artifact_store import ArtifactStore
from paretune.runners.store.stage_record import StageRecord
from paretune.runners.workload.datasets.known_digests import known_file_digest
from paretune.spaces import RunSpec, digest

_QUALITY_VERSION = 4
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
        more: The values of further metrics, by name.
        answers: Digest of the model's decisions; empty if its outputs are not decisions.
    """

    value: float
    resampled: tuple[float, ...]
    providers: Mapping[str, ProviderShare]
    more: Mapping[str, float] = field(default_factory=dict)
    answers: str = ""


Judge = Callable[[Path, StoredSamples, Sequence[str], int], Judged | Failure]


class Evaluator:
    """Measures artifacts, named by their digests in the store, on the given runners.

    Args:
        runners: By name.
        versions: Versions of each runner's interpreter and runtime, by its name.
        store: Keeps qualities and raw samples.
        quality_metric: Name under which the quality is recorded.
        fingerprint: The workload's fingerprint.
        judging: Digest of the metric and the validation split: kept qualities belong to them.
        samples: The inputs that models are measured on.
        folder: The study's folder, where a pipeline around the model is looked up.
        judge: Returns what the metrics say about outputs on samples, given names for the outputs
            and how many bootstrap samples to draw.
        settings: How much to measure.
        setups: How another machine makes the same runners; only a fleet needs it.
        machine: What describes the machine that measures; this one by default.
        judges_here: Whether the judge takes this machine's cores, which are leased for it then.
    """

    def __init__(
        self,
        runners: Mapping[str, Runner],
        versions: Mapping[str, Mapping[str, str]],
        store: ArtifactStore,
        *,
        quality_metric: str,
        fingerprint: str,
        judging: str,
        samples: StoredSamples,
        folder: Path,
        judge: Judge,
        settings: MeasurementSettings,
        setups: Sequence[RunnerSetup] = (),
        machine: Mapping[str, str] | None = None,
        judges_here: bool = True,
    ) -> None:
        self.runners = dict(runners)
        self.versions = dict(versions)
        self.store = store
        self.quality_metric = quality_metric
        self.fingerprint = fingerprint
        self.judging = judging
        self.samples = samples
        self.folder = folder
        self.judge = judge
        self.settings = settings
        self.setups = setups
        self.machine = environment.fingerprint() if machine is None else machine
        self.judges_here = judges_here

    def on(self, samples: StoredSamples, settings: MeasurementSettings) -> Evaluator:
        """Return the same evaluator on other samples, with other settings."""
        other = copy(self)
        other.samples, other.settings = samples, settings
        return other

    def formats(self, run: RunSpec) -> tuple[str, ...]:
        """Return the names of the formats that a run's runner takes, the first choice first."""
        runner = self.runners.get(run.runner)
        return ("onnx",) if runner is None else runner.formats

    def measure(self, artifact: str, run: RunSpec, samples: StoredSamples) -> Measurement | Failure:
        """Return quality and timing of an artifact, run in one way on real samples."""
        if isinstance(ready := self._ready(artifact, run), Failure):
            return ready
        if isinstance(quality := self._quality(artifact, run, samples), Failure):
            return quality
        if isinstance(timed := self.time(artifact, run, samples), Failure):
            return timed
        resampled = tuple(quality.params["resampled"])
        value = resampled_quality(quality.metrics[self.quality_metric], resampled)
        more = {name: Statistic(each) for name, each in quality.metrics.items()}
        return replace(
            timed,
            statistics={**timed.statistics, **more, self.quality_metric: value},
            providers={k: ProviderShare(**v) for k, v in quality.params["providers"].items()},
            resampled=resampled,
            answers=quality.params.get("answers", ""),
        )

    def time(self, artifact: str, run: RunSpec, samples: StoredSamples) -> Measurement | Failure:
        """Return only the timing of an artifact, run in one way."""
        if isinstance(ready := self._ready(artifact, run), Failure):
            return ready
        with self.store.scratch() as folder:
            files = samples.files(self.store, self.folder)
            timing = time_model(*ready, run, files, folder, self.settings)
            if isinstance(timing, Failure):
                return timing
        return self.measurement(artifact, run, timing)

    def scored(self, artifact: str, run: RunSpec, samples: StoredSamples) -> Scored | Failure:
        """Return the quality of an artifact on the samples' split, run in one way."""
        if isinstance(ready := self._ready(artifact, run), Failure):
            return ready
        runner, model = ready
        with self.store.scratch() as folder:
            files = samples.files(self.store, self.folder)
            prediction = runner.predict(model, run, files, folder, self.settings)
            if isinstance(prediction, Failure):
                return prediction
            known = self.store.artifact(artifact)
            # The runtimes have names of their own for outputs, but one order.
            names = [each["name"] for each in known.outputs] if known else []
            # Metrics take cores from whoever else is measuring.
            with lease(CPU) if self.judges_here else nullcontext():
                judged = self.judge(prediction.outputs, samples, names, RESAMPLES)
        if isinstance(judged, Failure):
            return judged
        (_, value), *more = judged.values.items()
        return Scored(value, judged.resampled, prediction.providers, dict(more), judged.answers)

    def launched(self, artifact: str, run: RunSpec, samples: StoredSamples) -> Launched | Failure:
        """Time an artifact in one fresh process, once the device is free and idle."""
        if isinstance(ready := self._ready(artifact, run), Failure):
            return ready
        with self.store.scratch() as folder:
            files = samples.files(self.store, self.folder)
            return launch_once(*ready, run, files, folder, self.settings)

    def _ready(self, artifact: str, run: RunSpec) -> tuple[Runner, Path] | Failure:
        """Return the runner of a run, and the model file that it is given."""
        if run.runner not in self.runners:
            message = f"there is no runner {run.runner!r}; known: {', '.join(self.runners)}"
            return Failure("measure", FailureKind.UNSUPPORTED, message)
        model = self.store.get(artifact)
        if model is None:
            message = "its model is missing or damaged in the artifact store"
            return Failure("measure", FailureKind.INVALID, message)
        return self.runners[run.runner], model

    def measurement(self, artifact: str, run: RunSpec, timing: Timing) -> Measurement:
        """Return the measurement of an artifact from its timing, and keep raw samples."""
        with self.store.scratch() as folder:
            samples = self._keep(timing.launches, folder)
        statistics = summarize(timing.launches, run.batch_size, timing.first)
        statistics["size_bytes"] = Statistic(float(self.store.model_bytes(artifact)))
        return Measurement(
            run=run,
            artifact=artifact,
            statistics=statistics,
            launches=len(timing.launches),
            contaminated_launches=timing.contaminated,
            canary_ms=timing.canary_ms,
            providers={},
            samples=samples,
            is_steady=all(launch.warmup_steady for launch in timing.launches),
            is_resolved=timing.is_resolved,
            host_was_idle=timing.host_was_idle,
            environment={**self.machine, **self.versions[run.runner]},
        )

    def quality_key(self, artifact: str, run: RunSpec, samples: StoredSamples) -> str:
        """Return the key under which the quality and the proof of the provider are kept.

        The batch size is part of it, because dynamic quantization takes its ranges from the batch,
        and so are the provider's options, which may allow a lower precision, the runtime's and its
        libraries' versions, and the processor or card, which choose the kernels.
        """
        runner = self.runners[run.runner]
        libraries = {
            name: known_file_digest(Path(path))
            for name, path in getattr(runner, "provider_libraries", {}).items()
        }
        options, card = runner.options(run), self.machine.get(runner.device(run))
        return digest(
            {
                "stage": "evaluate",
                "version": _QUALITY_VERSION,
                "judging": self.judging,
                "metric": self.quality_metric,
                "artifact": artifact,
                "runner": run.target,
                "batch_size": run.batch_size,
                "graph_optimization": run.graph_optimization,
                "versions": dict(self.versions[run.runner]),
                "processor": self.machine["processor"],
                "fallback_tolerance": self.settings.fallback_tolerance,
                **({"axes": run.answering} if run.answering else {}),
                "samples": [samples.split, *samples.inputs, samples.targets],
                **samples.prepared_for(run),
                **({"options": options} if options else {}),
                **({"card": card} if card else {}),
                **({"libraries": libraries} if libraries else {}),
            }
        )

    def _quality(
        self, artifact: str, run: RunSpec, samples: StoredSamples
    ) -> StageRecord | Failure:
        """Return the quality from the exported artifact, in the runtime that is timed."""
        key = self.quality_key(artifact, run, samples)
        record = self.store.record(key)
        if record is not None:
            return record
        started = time.perf_counter()
        if isinstance(scored := self.scored(artifact, run, samples), Failure):
            return scored
        record = StageRecord(
            stage="evaluate",
            key=key,
            params={
                "providers": {k: asdict(v) for k, v in scored.providers.items()},
                "resampled": [float(f"{each:.7g}") for each in scored.resampled],
                "answers": scored.answers,
            },
            parent=artifact,
            output="",
            seconds=time.perf_counter() - started,
            metrics={self.quality_metric: scored.value, **scored.more},
        )
        return self.store.commit(record)

    def _keep(self, launches: tuple[Launch, ...], folder: Path) -> str:
        """Store every timed call of every launch, and return the file's digest."""
        path = folder / "samples.npz"
        arrays: dict[str, Any] = {}
        for index, launch in enumerate(launches):
            arrays[f"launch_{index}_latency_ms"] = np.asarray(launch.latency_ms)
            if launch.end_to_end is not None:
                for part, times in launch.end_to_end.by_metric.items():
                    arrays[f"launch_{index}_{part}_ms"] = np.asarray(times)
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
