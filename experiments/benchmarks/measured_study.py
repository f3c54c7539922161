"""A study whose whole space was trained and measured, to be replayed on a simulated clock."""

from __future__ import annotations

import gzip
import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from study_problem import EVERYTHING, StudyProblem

from paretune.runners.build.plan import TRAINING_STAGES
from paretune.runners.measure.statistic import RESOLUTION, Statistic
from paretune.runners.workload.recipe import Recipe
from paretune.search.record.wish import Wish
from paretune.spaces import BuildSpec, Candidate, SearchSpace

TIMED = ("latency_p95_ms", "throughput_samples_per_s")
_FREE = ("reference", "skeleton")
"""Stages that cost nothing: the model is trained, and an untrained student needs no training."""


class MeasuredStudy(StudyProblem):
    """A space that was measured whole (record_study.py), candidate by candidate.

    A night measures a candidate by as many launches as were made, drawn from these with
    replacement. Trainings give what they gave, and stages take as long as they took.

    Args:
        file: Written by record_study.py.
        seed: Of the draws.
        wish: What counts.
        training_times: How many times as long trainings take as they took: the same study with more
            data to train on.
    """

    def __init__(
        self, file: Path, seed: int, wish: Wish = EVERYTHING, training_times: float = 1.0
    ) -> None:
        kept = _read(file)
        space, recipe = SearchSpace.from_values(kept["space"]), Recipe(**kept["recipe"])
        super().__init__(space, recipe, wish, kept["timing_seconds"])
        self._candidates: dict[str, dict[str, Any]] = kept["candidates"]
        self._accuracies: dict[str, float] = kept["accuracies"]
        self._stages: dict[str, float] = kept["stage_seconds"]
        self._epochs: dict[str, float] = kept["epoch_seconds"]
        self._after: dict[str, float] = kept["stage_accuracies"]
        self._seed = seed
        self._training_times = training_times
        self._measured: dict[str, dict[str, Statistic]] = {}

    def accuracy(self, build: BuildSpec) -> float:
        """Return the accuracy of a build's file on the validation split."""
        return self._accuracies[build_name(build)]

    def metrics(self, candidate: Candidate) -> dict[str, float]:
        """Return a candidate's accuracy, p95 latency and throughput, as one night measures them."""
        return {name: each.value for name, each in self.statistics(candidate).items()}

    def statistics(self, candidate: Candidate) -> dict[str, Statistic]:
        """Return the same metrics with their intervals over the drawn launches."""
        digest = candidate.digest
        if digest not in self._measured:
            rng = np.random.default_rng([self._seed, int(digest[:8], 16)])
            launches = np.array(self._candidates[digest]["launches"])
            drawn = launches[rng.integers(len(launches), size=len(launches))]
            found = {
                name: Statistic.over_launches(list(values), RESOLUTION)
                for name, values in zip(TIMED, drawn.T, strict=True)
            }
            found["accuracy"] = Statistic(self.accuracy(candidate.build))
            self._measured[digest] = found
        return dict(self._measured[digest])

    def quality_after(self, stage: str, build: BuildSpec) -> float:
        """Return the accuracy after a training, as it was."""
        return self._after[stage_name(stage, build)]

    def stage_seconds(self, stage: str, build: BuildSpec) -> float:
        """Return the seconds of a stage when it ran, times what a training takes more."""
        if stage in _FREE:
            return 0.0
        seconds = self._stages[stage_name(stage, build)]
        return seconds * self._training_times if stage in TRAINING_STAGES else seconds

    def epoch_seconds(self) -> dict[str, float]:
        """Return the seconds per epoch of each model, as a search estimates them."""
        return {name: each * self._training_times for name, each in self._epochs.items()}

    def measure_seconds(self, candidate: Candidate) -> float:
        """Return the seconds of a candidate's measurement."""
        return float(self._candidates[candidate.digest]["seconds"])


def stage_name(stage: str, build: BuildSpec) -> str:
    """Return a stage and the parts of a build that it depends on."""
    parts = [stage, build.student]
    if not stage.startswith("distill"):
        parts.append(f"pruned {build.pruning_ratio:g}")
    if stage == "quantize":
        parts.append(build.quantization.value)
    return ", ".join(parts)


def build_name(build: BuildSpec) -> str:
    """Return the name of a build."""
    return f"{build.student}, pruned {build.pruning_ratio:g}, {build.quantization.value}"


@lru_cache
def _read(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(gzip.decompress(file.read_bytes()))
    return found
