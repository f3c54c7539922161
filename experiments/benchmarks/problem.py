"""Analytic stand-ins for studies: metrics and costs of every candidate of a space."""

import math
from dataclasses import replace

import numpy as np
from study_problem import EVERYTHING, StudyProblem

from paretune.runners.measure.statistic import Statistic
from paretune.runners.workload.recipe import Recipe
from paretune.search.record.wish import Wish
from paretune.spaces import BuildSpec, Candidate, SearchSpace

RECIPE = Recipe()
STUDENTS = ("reference", "large", "medium", "small", "tiny")
SPACE = SearchSpace.from_values(
    {
        "student": list(STUDENTS),
        "pruning_ratio": [0.0, 0.15, 0.3, 0.45, 0.6, 0.75],
        "quantization": [
            "fp32",
            "fp16",
            "int8-static",
            "int8-dynamic",
            "int8-weight",
            "int4-weight",
        ],
        "batch_size": [1, 2, 4, 8, 16, 32, 64],
        "execution_provider": ["CPUExecutionProvider", "openvino/CPU"],
        "intra_op_threads": [1, 2, 4],
    }
)

_MEASURE_SECONDS = 8.0
_TIMING_SECONDS = 10.0
_STAGE_SECONDS = {
    "distill": 480.0,
    "fine-tune": 240.0,
    "prune": 3.0,
    "export": 4.0,
    "quantize": 6.0,
}


class Problem(StudyProblem):
    """7,560 candidates on six axes, three objectives, with constants drawn from a seed.

    Latencies include a call's overhead and noise of 2 %. Batches help a little, threads help large
    calls only, static int8 helps and dynamic int8 hurts. Accuracy falls with the student's size and
    collapses under strong pruning.

    Args:
        seed: Of the constants.
        wish: What counts: every quality down to zero, or with ``ANYTHING`` what counts in a study.
    """

    def __init__(self, seed: int, wish: Wish = EVERYTHING) -> None:
        super().__init__(SPACE, RECIPE, wish, _TIMING_SECONDS)
        rng = np.random.default_rng(seed)
        steps = np.cumprod([1.0, *rng.uniform(0.25, 0.5, 4)])
        lost = np.cumsum([0.0, *np.sort(rng.uniform(0.0, 0.1, 4))])
        top = rng.uniform(0.85, 0.99)
        self.work = dict(zip(STUDENTS, 100.0 * steps, strict=True))
        self.quality = dict(zip(STUDENTS, top - lost, strict=True))
        self.share = {  # of the work of fp32
            "fp32": 1.0,
            "fp16": rng.uniform(0.95, 1.2),
            "int8-static": rng.uniform(0.3, 0.6),
            "int8-dynamic": rng.uniform(0.7, 1.5),
            "int8-weight": rng.uniform(0.95, 1.1),
            "int4-weight": rng.uniform(0.85, 1.1),
        }
        self.loss = {  # of accuracy
            "fp32": 0.0,
            "fp16": 0.0,
            "int8-static": rng.uniform(0.0, 0.02),
            "int8-dynamic": rng.uniform(0.0, 0.01),
            "int8-weight": rng.uniform(0.0, 0.003),
            "int4-weight": rng.uniform(0.005, 0.06),
        }
        self.collapse = rng.uniform(0.2, 0.6)
        self.speedup = rng.uniform(1.2, 1.9)
        self.batching = rng.uniform(0.85, 0.97)
        self.threading = rng.uniform(0.5, 0.9)
        self.waking_ms = rng.uniform(0.1, 1.0)
        self.overhead_ms = {"onnxruntime": rng.uniform(0.05, 0.5), "openvino": rng.uniform(0.2, 1)}
        self.other = rng.uniform(0.7, 1.2)
        self._noise = seed

    def accuracy(self, build: BuildSpec) -> float:
        """Return a build's accuracy."""
        ratio, smallness = build.pruning_ratio, 1.5 - math.log10(self.work[build.student]) / 2
        loss = self.loss[build.quantization.value] * (1 + 3 * ratio)
        loss += self.collapse * ratio**4 * smallness
        return max(self.quality[build.student] - loss, 0.0)

    def metrics(self, candidate: Candidate) -> dict[str, float]:
        """Return a candidate's accuracy, p95 latency and throughput."""
        build, run = candidate.build, candidate.run
        share = self.share[build.quantization.value]
        if run.runner == "openvino":
            share *= self.other
        work = self.work[build.student] * (1 - build.pruning_ratio) ** self.speedup * share
        latency_ms = work * run.batch_size**self.batching / run.intra_op_threads**self.threading
        latency_ms += self.waking_ms * (run.intra_op_threads - 1) + self.overhead_ms[run.runner]
        digits = int(candidate.digest[:8], 16)
        latency_ms *= math.exp(np.random.default_rng([self._noise, digits]).normal(0, 0.02))
        return {
            "accuracy": self.accuracy(build),
            "latency_p95_ms": latency_ms,
            "throughput_samples_per_s": 1e3 * run.batch_size / latency_ms,
        }

    def statistics(self, candidate: Candidate) -> dict[str, Statistic]:
        """Return a candidate's metrics with intervals of 3 % to both sides; none for accuracy."""
        values = self.metrics(candidate)
        accuracy = Statistic(values.pop("accuracy"))
        return {k: Statistic(v, v * 0.97, v * 1.03) for k, v in values.items()} | {
            "accuracy": accuracy
        }

    def quality_after(self, stage: str, build: BuildSpec) -> float:
        """Return the accuracy after a training; a quarter of one misses some of it."""
        ratio = build.pruning_ratio if stage.startswith("fine-tune") else 0.0
        lost = 0.03 if stage.endswith("-short") else 0.0
        return self.accuracy(replace(build, pruning_ratio=ratio)) - lost

    def stage_seconds(self, stage: str, build: BuildSpec) -> float:
        """Return a stage's seconds; the reference costs nothing."""
        if stage in ("reference", "skeleton"):
            return 0.0
        name = stage.removesuffix("-short")
        seconds = _STAGE_SECONDS[name]
        if name in ("distill", "fine-tune"):
            seconds *= self._share_of_large(build.student)
            short = RECIPE.short_share
            seconds *= short if stage.endswith("-short") else 1 - short
        return seconds

    def _share_of_large(self, student: str) -> float:
        """Return how long a student trains: 1 for one with a quarter of the work."""
        return 0.5 + (self.work[student] / 100.0) ** 0.5

    def epoch_seconds(self) -> dict[str, float]:
        """Return the seconds per epoch of each model."""
        return {
            name: _STAGE_SECONDS["distill"] * self._share_of_large(name) / RECIPE.distill_epochs
            for name in STUDENTS
        }

    def measure_seconds(self, candidate: Candidate) -> float:
        """Return the same seconds for every candidate."""
        return _MEASURE_SECONDS
