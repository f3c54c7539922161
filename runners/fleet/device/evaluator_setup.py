"""How to make an evaluator, as plain data: a device host has neither the study nor its workload."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from paretune.runners.measure.evaluator import Evaluator, Judge
from paretune.runners.measure.stored_samples import StoredSamples
from paretune.runners.runtimes.runner_setup import RunnerSetup
from paretune.runners.runtimes.settings import MeasurementSettings
from paretune.runners.store.artifact_store import ArtifactStore


@dataclass(frozen=True)
class EvaluatorSetup:
    """What measurements of a study depend on, beside its samples and settings.

    Attributes:
        runners: How to make the runners.
        versions: Versions of each runner's interpreter and runtime on the device, by its name.
        quality_metric: Name under which the quality is recorded.
        fingerprint: The workload's fingerprint.
        judging: Digest of the metric and the validation split.
    """

    runners: tuple[RunnerSetup, ...]
    versions: Mapping[str, Mapping[str, str]]
    quality_metric: str
    fingerprint: str
    judging: str

    @classmethod
    def of(cls, evaluator: Evaluator) -> EvaluatorSetup:
        """Return the setup of an evaluator."""
        return cls(
            tuple(evaluator.setups),
            {name: dict(versions) for name, versions in evaluator.versions.items()},
            evaluator.quality_metric,
            evaluator.fingerprint,
            evaluator.judging,
        )

    def evaluator(
        self,
        store: ArtifactStore,
        folder: Path,
        samples: StoredSamples,
        settings: MeasurementSettings,
        judge: Judge,
        *,
        measures: bool,
        judges_here: bool = True,
    ) -> Evaluator:
        """Return the evaluator.

        Args:
            store: Holds models and samples.
            folder: The study's folder, where a pipeline around the model is looked up.
            samples: The inputs that models are measured on.
            settings: How much to measure.
            judge: Returns what the metrics say about outputs.
            measures: Whether this machine measures; if not, no environment of a runner is made.
            judges_here: Whether the judge takes this machine's cores.

        Raises:
            ParetuneError: If a runner's environment cannot be made, or its runtime is unknown.
        """
        return Evaluator(
            {each.name: each.runner(folder, runs_here=measures) for each in self.runners},
            self.versions,
            store,
            quality_metric=self.quality_metric,
            fingerprint=self.fingerprint,
            judging=self.judging,
            samples=samples,
            folder=folder,
            judge=judge,
            settings=settings,
            setups=self.runners,
            judges_here=judges_here,
        )
