"""Trials of a simulated study: candidates, and records as full as real ones, at once."""

from __future__ import annotations

import math
import random
from typing import Any

from paretune.runners.environment import fingerprint
from paretune.runners.failure import Failure, FailureKind
from paretune.runners.measure.evaluator import RESAMPLES
from paretune.runners.measure.measurement import Measurement
from paretune.runners.measure.statistic import Statistic
from paretune.runners.metric import METRICS
from paretune.runners.runtimes.proof import ProviderShare
from paretune.search.record.trial import Skip, TrialRecord
from paretune.spaces import SCHEMES, Candidate, digest

SPACE: dict[str, list[Any]] = {
    "student": ["reference", "large", "medium", "small", "tiny"],
    "pruning_ratio": [round(0.05 * step, 2) for step in range(19)],
    "quantization": list(SCHEMES.names),
    "batch_size": [1, 2, 4, 8, 16, 32, 64, 128],
    "execution_provider": ["CPUExecutionProvider", "openvino/CPU"],
    "intra_op_threads": [1, 2, 4],
}
_OPERATORS = tuple((f"operator {place}", 3, 0.1) for place in range(10))


def observed(record: TrialRecord) -> dict[str, float] | None:
    """Return what the strategy observes of a trial."""
    metrics = record.metrics
    if record.skip:
        metrics |= {"accuracy": record.skip.quality_bound}
    return metrics or None


def simulate(number: int, candidate: Candidate) -> TrialRecord:
    """Return a trial's record: most are measured, some fail, some of the rest are skipped."""
    chance = random.Random(candidate.digest)
    measurement = measured(candidate, chance)
    quality = measurement.statistics["accuracy"].value
    outcome: Measurement | Failure | Skip = measurement
    if number > 0 and chance.random() < 0.05:
        text = f"layer {number} has no kernel for {candidate.build.quantization}"
        outcome = Failure("measure", FailureKind.UNSUPPORTED, text, "a line of a log\n" * 50)
    elif number > 0 and quality < 0.7 and chance.random() < 0.5:
        rest = {k: v for k, v in measurement.statistics.items() if k != "accuracy"}
        skeleton = Measurement(**{**vars(measurement), "statistics": rest})
        outcome = Skip("fine-tune", f"at best accuracy {quality:.4g}", quality, skeleton)
    stages = ("distill", "prune", "fine-tune", "export", "quantize")
    return TrialRecord(
        number,
        candidate,
        outcome,
        started_at=1e9 + number,
        finished_at=1e9 + number + 0.9,
        stage_seconds={stage: chance.random() for stage in (*stages, "measure")},
        lineage={stage: digest([stage, candidate.digest]) for stage in stages},
        stage_quality={"distill": quality, "fine-tune": quality},
    )


def measured(candidate: Candidate, chance: random.Random) -> Measurement:
    """Return a measurement as full as a real one, by an analytic trade-off with noise."""
    build, run = candidate.build, candidate.run
    size = 0.4 ** SPACE["student"].index(build.student)
    work = size * (1 - build.pruning_ratio) ** 1.5
    bits = build.quantization.weight_bits
    noise = math.exp(chance.gauss(0, 0.08))
    latency_ms = noise * (0.05 + 10 * work * (bits / 32) ** 0.7 * run.batch_size**0.85)
    latency_ms /= run.intra_op_threads**0.6
    accuracy = 0.99 - 0.25 * (1 - work) ** 4 - 0.4 / bits**1.2 + chance.gauss(0, 0.004)
    values = dict.fromkeys(METRICS, latency_ms) | {
        "latency_p95_ms": latency_ms * 1.1,
        "throughput_samples_per_s": 1000 * run.batch_size / latency_ms,
        "size_bytes": 4e6 * work * bits / 32,
        "accuracy": accuracy,
    }
    return Measurement(
        run=run,
        artifact=digest(candidate.as_dict()["build"]),
        statistics={k: Statistic(v, v * 0.99, v * 1.01) for k, v in values.items()},
        launches=5,
        contaminated_launches=0,
        is_steady=True,
        is_resolved=True,
        host_was_idle=True,
        canary_ms=0.1,
        providers={run.execution_provider: ProviderShare(40, 1.0, 1.0, (), _OPERATORS)},
        samples=candidate.digest,
        environment=fingerprint(),
        resampled=tuple(round(chance.gauss(accuracy, 0.006), 7) for _ in range(RESAMPLES)),
    )
