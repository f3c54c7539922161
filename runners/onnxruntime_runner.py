"""The ONNX Runtime runner: every job in a child process of its own."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from runners import onnxruntime_launch
from runners.child import run_job
from runners.failure import Failure, FailureKind
from runners.lease import CPU
from runners.measurement import Launch
from runners.runner import Description, Prediction
from runners.settings import MeasurementSettings
from spaces import DEFAULT_RUNNER, RunSpec

_SCRIPT = Path(onnxruntime_launch.__file__)
_GPU_PROVIDERS = ("CUDA", "Tensorrt", "NvTensorRTRTX", "MIGraphX", "Dml")


class OnnxRuntimeRunner:
    """Runs ONNX files in an interpreter's ONNX Runtime.

    Args:
        name: The runner's name in study files.
        python: The interpreter whose ONNX Runtime it is; this one by default.
        provider_options: Options of execution providers, by provider.
        timeout_s: Deadline of jobs that are not timed.
    """

    def __init__(
        self,
        name: str = DEFAULT_RUNNER,
        python: Path | None = None,
        provider_options: Mapping[str, Mapping[str, str]] | None = None,
        timeout_s: float = 60.0,
    ) -> None:
        self.name = name
        self.python = python or Path(sys.executable)
        self.provider_options = {k: dict(v) for k, v in (provider_options or {}).items()}
        self.timeout_s = timeout_s

    def options(self, run: RunSpec) -> dict[str, str]:
        """Return the provider options of a run."""
        options = dict(self.provider_options.get(run.execution_provider, {}))
        if run.execution_provider == "OpenVINOExecutionProvider":
            # It does not read the session's thread count.
            options.setdefault("num_of_threads", str(run.intra_op_threads))
        return options

    def device(self, run: RunSpec) -> str:
        """Return ``cpu``, or the first graphics card for providers that run there."""
        options = self.options(run)
        if run.execution_provider.startswith(_GPU_PROVIDERS):
            return f"gpu:{options.get('device_id', '0')}"
        return CPU

    def describe(self, folder: Path) -> Description | Failure:
        """Return the providers this ONNX Runtime has and knows of, and its version."""
        result = self._run({"action": "describe"}, folder, "describe", self.timeout_s)
        if isinstance(result, Failure):
            return result
        available, known = tuple(result["available"]), tuple(result["known"])
        return Description(available, known, result["versions"])

    def launch(
        self,
        model: Path,
        run: RunSpec,
        inputs: Sequence[Path],
        folder: Path,
        settings: MeasurementSettings,
        lease: int,
    ) -> Launch | Failure:
        """Time a model in one fresh process, pinned to as many cores as it has threads."""
        job = self._job("time", model, run, inputs) | {
            "warmup_seconds": settings.warmup_seconds,
            "min_seconds": settings.min_seconds,
            "min_iterations": settings.min_iterations,
            "max_iterations": settings.max_iterations,
            "cores": _cores(run.intra_op_threads),
        }
        result = self._run(job, folder, "measure", settings.timeout_s, lease)
        if isinstance(result, Failure):
            return result
        return Launch(**{**result, "latency_ms": tuple(result["latency_ms"])})

    def predict(
        self, model: Path, run: RunSpec, inputs: Sequence[Path], folder: Path
    ) -> Prediction | Failure:
        """Run a model once over all samples; a node on another provider is a failure."""
        job = self._job("predict", model, run, inputs)
        result = self._run(job, folder, "evaluate", self.timeout_s)
        if isinstance(result, Failure):
            return result
        elsewhere = {
            provider: nodes
            for provider, nodes in result["nodes_by_provider"].items()
            if provider != run.execution_provider
        }
        if elsewhere or not result["nodes_by_provider"]:
            message = f"asked for {run.execution_provider}, but these nodes ran on {elsewhere}"
            return Failure("evaluate", FailureKind.UNSUPPORTED, message)
        counts = {name: len(nodes) for name, nodes in result["nodes_by_provider"].items()}
        return Prediction(folder / "outputs.npy", counts)

    def run_job(
        self,
        action: str,
        model: Path,
        run: RunSpec,
        inputs: Sequence[Path],
        folder: Path,
        **more: Any,
    ) -> dict[str, Any] | Failure:
        """Do another of the launch script's jobs (``profile``, ``compare``) on a model."""
        job = self._job(action, model, run, inputs)
        job |= {"cores": _cores(run.intra_op_threads), **more}
        return self._run(job, folder, action, self.timeout_s, more.get("lease"))

    def _run(
        self,
        job: dict[str, Any],
        folder: Path,
        stage: str,
        timeout_s: float,
        lease: int | None = None,
    ) -> dict[str, Any] | Failure:
        return run_job(
            _SCRIPT, job, folder, stage=stage, timeout_s=timeout_s, python=self.python, lease=lease
        )

    def _job(
        self, action: str, model: Path, run: RunSpec, inputs: Sequence[Path]
    ) -> dict[str, Any]:
        return {
            "action": action,
            "model": str(model),
            "execution_provider": run.execution_provider,
            "provider_options": self.options(run),
            "intra_op_threads": run.intra_op_threads,
            "batch_size": run.batch_size,
            "inputs": [str(path) for path in inputs],
        }


def _cores(threads: int) -> list[int]:
    """Return the cores to pin to: the last ones, as the first is busiest with the system's work."""
    if not hasattr(os, "sched_getaffinity"):
        return []
    return sorted(os.sched_getaffinity(0))[-threads:]
