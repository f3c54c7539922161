"""Runners that do every job in a child process."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from paretune.runners import environment, gpu
from paretune.runners.child import run_job
from paretune.runners.cores import best_cores, throttle_counters, usable_cores
from paretune.runners.failure import Failure
from paretune.runners.runtimes.launch import Launch
from paretune.runners.runtimes.launched import start
from paretune.runners.runtimes.launched.backend import Job
from paretune.runners.runtimes.lease import CPU, Lease, lease
from paretune.runners.runtimes.proof import prove
from paretune.runners.runtimes.registry import RuntimeRecord
from paretune.runners.runtimes.runner import Description, Prediction, Samples
from paretune.runners.runtimes.serving.served import ServeSettings, ServingLaunch
from paretune.runners.runtimes.settings import MeasurementSettings
from paretune.spaces import RunSpec

_SCRIPT = Path(start.__file__)
_TIMEOUT_S = 120.0
"""Deadline of a step of jobs that are not timed. Chosen by judgement: a model of several gigabytes
loads in less.
"""

_MEMORY_SHARE = 0.9
"""Share of the machine's memory that a launch may use. Chosen by judgement."""


class ProcessRunner:
    """Runs model files in the runtime of an interpreter.

    A runtime that needs more than its record says (options of a run, a device of its own) has a
    subclass.

    Args:
        name: The runner's name in study files; the runtime's by default.
        python: The interpreter with the runtime; this one by default.
        provider_options: Options of execution providers, by provider.
        provider_libraries: Paths of plug-in provider libraries, by the name to register them under.
        timeout_s: Deadline of a step of jobs that are not timed: to load the model, or one call;
            two minutes by default, or that of the settings if it is longer.
        record: The runtime; a subclass has one by default.
    """

    default_record: ClassVar[RuntimeRecord]

    def __init__(
        self,
        name: str = "",
        python: Path | None = None,
        provider_options: Mapping[str, Mapping[str, str]] | None = None,
        provider_libraries: Mapping[str, Path] | None = None,
        timeout_s: float | None = None,
        record: RuntimeRecord | None = None,
    ) -> None:
        self.record = record or self.default_record
        self.name = name or self.runtime
        self.python = python or Path(sys.executable)
        self.provider_options = {k: dict(v) for k, v in (provider_options or {}).items()}
        self.provider_libraries = {k: str(v) for k, v in (provider_libraries or {}).items()}
        self.timeout_s = timeout_s

    @property
    def runtime(self) -> str:
        """The runtime's name."""
        return self.record.name

    @property
    def model_format(self) -> str:
        """The name of the format it takes."""
        return self.record.model_format

    @property
    def formats(self) -> tuple[str, ...]:
        """The names of all formats it takes, the first choice first."""
        return self.record.formats

    def options(self, run: RunSpec) -> dict[str, str]:
        """Return the provider options of a run."""
        return dict(self.provider_options.get(run.execution_provider, {}))

    def device(self, run: RunSpec) -> str:
        """Return the device that a run occupies.

        ``cpu``; ``gpu:N`` for CUDA's card N; any other device has a name of its own, such as
        ``openvino:npu``. Its lease holds the host, too (see ``lease.py``).
        """
        return CPU

    def cores(self, run: RunSpec) -> list[int]:
        """Return the cores to pin to (see :func:`best_cores`), one for each thread of an instance.

        On a device other than the processor there is one more: its driver has threads of its own,
        which would push the calling thread off a core that they shared.
        """
        if not hasattr(os, "sched_getaffinity"):
            return []
        return best_cores(run.launch_threads + (self.device(run) != CPU))

    def describe(self, folder: Path) -> Description | Failure:
        """Return the providers that this runtime has and knows, and versions."""
        job: Job = {"libraries": self.provider_libraries}
        result = self._run("describe", job, folder, "describe")
        if isinstance(result, Failure):
            return result
        available, known = tuple(result["available"]), tuple(result["known"])
        return Description(available, known, result["versions"], result.get("missing", {}))

    def launch(
        self,
        model: Path,
        run: RunSpec,
        samples: Samples,
        folder: Path,
        settings: MeasurementSettings,
        lease: Lease,
    ) -> Launch | Failure:
        """Time a model in one fresh process, pinned to as many cores as it has threads."""
        pipeline, load = samples.pipeline, settings.load
        timing: Job = {
            "device": self.device(run),
            "card": gpu.launch_card(self.device(run)),
            "throttled": [str(path) for path in throttle_counters()],
            "warmup_seconds": settings.warmup_seconds,
            "min_seconds": settings.min_seconds,
            "min_iterations": settings.min_iterations,
            "max_iterations": settings.max_iterations,
            "pipeline": None,
            "load": None,
        }
        if pipeline:
            timing["pipeline"] = {
                "file": str(pipeline.file),
                "requests": str(pipeline.requests),
            }
        if load:
            timing["load"] = {
                "scenario": load.scenario,
                "queries_per_s": load.queries_per_s,
                "seconds": load.seconds,
                "seed": secrets.randbits(31),
                "cores": self._spare(run),
            }
        job = self._job(model, run, samples, settings) | timing
        result = self._run("time", job, folder, "measure", settings.timeout_s, lease)
        if isinstance(result, Failure):
            return result
        launch = Launch.from_result(result)
        if launch.proof is None or self.device(run) == CPU:
            return launch
        refuted = launch.proof.refute(run.execution_provider, settings.fallback_tolerance)
        return refuted or launch

    def predict(
        self,
        model: Path,
        run: RunSpec,
        samples: Samples,
        folder: Path,
        settings: MeasurementSettings,
    ) -> Prediction | Failure:
        """Run a model once over all samples; nodes on another provider are a failure.

        Where a run has other values on the pipeline's axes than the baseline, the samples are made
        from the requests by the pipeline: quality is then that of what the model gets there.

        It holds the device meanwhile: otherwise it would disturb timed launches, and they would
        disturb the providers' shares of time.
        """
        run = run.alone
        job = self._job(model, run, samples, settings) | {"pipeline": None}
        if (pipeline := samples.pipeline) and pipeline.changes(run):
            job["pipeline"] = {"file": str(pipeline.file), "requests": str(pipeline.requests)}
        timeout_s = self.timeout_s or max(_TIMEOUT_S, settings.timeout_s)
        with lease(self.device(run)) as held:
            result = self._run("predict", job, folder, "evaluate", timeout_s, held)
        if isinstance(result, Failure):
            return result
        tolerance, on_card = settings.fallback_tolerance, self.device(run) != CPU
        proof = prove(result["nodes"], run.execution_provider, tolerance, on_card=on_card)
        if isinstance(proof, Failure):
            return proof
        return Prediction(folder / "outputs", proof)

    def profile(
        self,
        model: Path,
        run: RunSpec,
        samples: Samples,
        folder: Path,
        *,
        calls: int,
        lease: Lease,
    ) -> list[dict[str, Any]] | Failure:
        """Return the time of each node, from the runtime's own profile."""
        job = self._job(model, run.alone, samples) | {"calls": calls}
        result = self._run("profile", job, folder, "profile", lease=lease)
        if isinstance(result, Failure):
            return result
        nodes: list[dict[str, Any]] = result["nodes"]
        return nodes

    def compare(
        self,
        models: tuple[Path, Path],
        run: RunSpec,
        samples: Samples,
        folder: Path,
        *,
        seconds: float,
        lease: Lease,
    ) -> list[float] | Failure:
        """Return ratios of the second model's time to the first's, one per interleaved block."""
        job = self._job(models[0], run.alone, samples) | {
            "other_model": str(models[1]),
            "min_seconds": seconds,
            "warmup_seconds": 1.0,
        }
        result = self._run("compare", job, folder, "compare", lease=lease)
        if isinstance(result, Failure):
            return result
        ratios: list[float] = result["ratios"]
        return ratios

    def serve(
        self,
        model: Path,
        run: RunSpec,
        samples: Samples,
        folder: Path,
        loads: Sequence[NDArray[np.float64]],
        settings: ServeSettings,
        lease: Lease,
    ) -> ServingLaunch | Failure:
        """Serve loads in one fresh process, with as many instances as the run has."""
        run = replace(run, batch_size=settings.max_batch)
        memory = MeasurementSettings(memory_limit_bytes=settings.memory_limit_bytes)
        job = self._job(model, run, samples, memory) | {
            "device": self.device(run),
            "warmup_seconds": settings.warmup_seconds,
            "serve": settings.job(loads, folder),
        }
        result = self._run("serve", job, folder, "serve", settings.timeout_s, lease)
        return result if isinstance(result, Failure) else ServingLaunch.from_result(result)

    def _job(
        self,
        model: Path,
        run: RunSpec,
        samples: Samples,
        settings: MeasurementSettings | None = None,
    ) -> Job:
        limit = (settings or MeasurementSettings()).memory_limit_bytes
        return {
            "model": str(model),
            "execution_provider": run.execution_provider,
            "options": self.options(run),
            "libraries": self.provider_libraries,
            "intra_op_threads": run.intra_op_threads,
            "graph_optimization_level": run.graph_optimization.level,
            "batch_size": run.batch_size,
            "axes": dict(run.options),
            "inputs": samples.records,
            "output_axes": dict(samples.layout.outputs) if samples.keeps_outputs else None,
            "cores": self.cores(run),
            "memory_limit_bytes": limit or int(_MEMORY_SHARE * environment.memory_bytes()),
        }

    def _spare(self, run: RunSpec) -> list[int]:
        """Return the cores that the model does not use, for the load generator."""
        cores = self.cores(run)
        return sorted(set(usable_cores()) - set(cores)) if cores else []

    def _run(
        self,
        action: str,
        job: Job,
        folder: Path,
        stage: str,
        timeout_s: float | None = None,
        lease: Lease = (),
    ) -> dict[str, Any] | Failure:
        backend = str(self.record.backend.resolve())
        common: Job = {
            "action": action,
            "backend": backend,
            "cores": [],
            "memory_limit_bytes": 0,
        }
        return run_job(
            _SCRIPT,
            {**common, **job},
            folder,
            stage=stage,
            timeout_s=timeout_s or self.timeout_s or _TIMEOUT_S,
            start_s=self.record.start_s.get(job.get("execution_provider", ""), 0.0),
            python=self.python,
            lease=lease,
        )
