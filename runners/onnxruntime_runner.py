"""The ONNX Runtime runner: every job in a child process of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from runners import onnxruntime_launch
from runners.child import run_job
from runners.failure import Failure, FailureKind
from runners.measurement import Launch
from runners.runner import Description, MeasurementSettings, Prediction, Timing
from spaces import DEFAULT_RUNNER, RunSpec

_SCRIPT = Path(onnxruntime_launch.__file__)


class OnnxRuntimeRunner:
    """Runs ONNX files in this interpreter's ONNX Runtime.

    Args:
        settings: How much is measured.
    """

    name = DEFAULT_RUNNER

    def __init__(self, settings: MeasurementSettings | None = None) -> None:
        self.settings = settings or MeasurementSettings()

    def time(self, model: Path, run: RunSpec, inputs: Path, folder: Path) -> Timing | Failure:
        """Time a model in fresh processes; a disturbed one is replaced while the spare ones last.

        If too few undisturbed launches are left, the least disturbed make up the number: a machine
        that is never quiet still gets its measurement, with the count beside it.
        """
        settings = self.settings
        job = self._job("time", model, run, inputs) | {
            "warmup_seconds": settings.warmup_seconds,
            "min_seconds": settings.min_seconds,
            "min_iterations": settings.min_iterations,
            "max_iterations": settings.max_iterations,
        }
        launches: list[Launch] = []
        while len(launches) < settings.launches + settings.extra_launches:
            result = self._run(job, folder, "measure")
            if isinstance(result, Failure):
                return result
            launches.append(Launch(**{**result, "latency_ms": tuple(result["latency_ms"])}))
            if sum(not launch.is_contaminated for launch in launches) == settings.launches:
                break
        contaminated = sum(launch.is_contaminated for launch in launches)
        launches.sort(key=lambda launch: (launch.is_contaminated, -launch.cpu_share))
        return Timing(tuple(launches[: settings.launches]), contaminated)

    def predict(
        self, model: Path, run: RunSpec, inputs: Path, folder: Path
    ) -> Prediction | Failure:
        """Run a model once over all samples; a node on another provider is a failure."""
        result = self._run(self._job("predict", model, run, inputs), folder, "evaluate")
        if isinstance(result, Failure):
            return result
        elsewhere = {
            name: count
            for name, count in result["nodes_by_provider"].items()
            if name != run.execution_provider
        }
        if elsewhere or not result["nodes_by_provider"]:
            message = f"asked for {run.execution_provider}, but these ran elsewhere: {elsewhere}"
            return Failure("evaluate", FailureKind.UNSUPPORTED, message)
        return Prediction(folder / "outputs.npy", result["nodes_by_provider"])

    def describe(self, folder: Path) -> Description | Failure:
        """Return the providers this ONNX Runtime has and knows of, and its version."""
        result = self._run({"action": "describe"}, folder, "describe")
        if isinstance(result, Failure):
            return result
        available, known = tuple(result["available"]), tuple(result["known"])
        return Description(available, known, result["versions"])

    def _run(self, job: dict[str, Any], folder: Path, stage: str) -> dict[str, Any] | Failure:
        return run_job(_SCRIPT, job, folder, stage=stage, timeout_s=self.settings.timeout_s)

    def _job(self, action: str, model: Path, run: RunSpec, inputs: Path) -> dict[str, Any]:
        return {
            "action": action,
            "model": str(model),
            "execution_provider": run.execution_provider,
            "provider_options": {},
            "intra_op_threads": run.intra_op_threads,
            "batch_size": run.batch_size,
            "inputs": str(inputs),
        }
