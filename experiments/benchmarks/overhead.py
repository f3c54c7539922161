"""What does a trial cost besides building and measuring, and how does that grow?

    python experiments/benchmarks/overhead.py [--trials 1000] [--strategy frontier]

Runs a study whose trials are simulated, with everything else real and on disk: the strategy, the
Optuna storage, the gate, the history, MLflow and the console, called in the order of the study
loop. Prints the milliseconds that each of them takes per trial, as the study grows, then the
seconds to resume the study and to log it to an empty MLflow.
"""

from __future__ import annotations

import argparse
import io
import math
import random
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from paretune.runners.environment import fingerprint
from paretune.runners.failure import Failure, FailureKind
from paretune.runners.measure.measurement import Measurement
from paretune.runners.measure.statistic import Statistic
from paretune.runners.metric import METRICS
from paretune.runners.runtimes.proof import ProviderShare
from paretune.runners.store.artifact_store import ArtifactStore
from paretune.runners.workload.recipe import Recipe
from paretune.search.propose.cost import CostModel
from paretune.search.propose.frontier_strategy import FrontierStrategy
from paretune.search.propose.gate import Gate
from paretune.search.propose.strategy import OptunaStrategy, Strategy
from paretune.search.record.history import History
from paretune.search.record.objective import default_objectives
from paretune.search.record.trial import Skip, TrialRecord
from paretune.search.review.mlflow.pictures import MlflowReview
from paretune.search.review.mlflow.run_tracking import MlflowTracking
from paretune.search.review.terminal.plain_reporter import PlainReporter
from paretune.search.run.budget import Budget
from paretune.search.storage.study_storage import StudyStorage
from paretune.spaces import SCHEMES, Candidate, SearchSpace, digest

MARKS = (100, 500, 1000, 2000, 5000)
WINDOW = 50
LIMIT_MS = 100.0
PARTS = ("strategy", "storage", "gate", "history", "tracking", "console")
SPACE: dict[str, list[Any]] = {
    "student": ["reference", "large", "medium", "small", "tiny"],
    "pruning_ratio": [round(0.05 * step, 2) for step in range(19)],
    "quantization": list(SCHEMES.names),
    "batch_size": [1, 2, 4, 8, 16, 32, 64, 128],
    "execution_provider": ["CPUExecutionProvider", "openvino/CPU"],
    "intra_op_threads": [1, 2, 4],
}


def main() -> int:
    """Print the tables; return 1 if a trial costs over 100 ms at the last mark up to 1,000."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=1000)
    strategies = ("frontier", "tpe", "gp", "random")
    parser.add_argument("--strategy", choices=strategies, default="frontier")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        study = SimulatedStudy(Path(name), arguments.strategy)
        began = time.perf_counter()
        totals = study.run(arguments.trials)
        print(f"{arguments.trials} trials in {time.perf_counter() - began:.1f} s", flush=True)
        study.show_resume()
    judged = [total for mark, total in totals.items() if mark <= 1000]
    return 0 if judged and judged[-1] <= LIMIT_MS else 1


class Stopwatch:
    """Time spent on each part of a trial.

    Attributes:
        ms: Milliseconds by part, one entry per trial.
    """

    def __init__(self) -> None:
        self.ms: defaultdict[str, list[float]] = defaultdict(list)

    @contextmanager
    def time(self, part: str, *, again: bool = False) -> Iterator[None]:
        """Time a block; ``again`` adds to the part's last entry."""
        started = time.perf_counter()
        yield
        spent = (time.perf_counter() - started) * 1e3
        if again:
            self.ms[part][-1] += spent
        else:
            self.ms[part].append(spent)

    def around(self, mark: int) -> dict[str, float]:
        """Return each part's mean over the trials that end at a mark."""
        return {part: float(np.mean(self.ms[part][mark - WINDOW : mark])) for part in PARTS}

    def medians(self) -> str:
        """Return each part's median over all trials, in words."""
        return ", ".join(f"{part} {np.median(self.ms[part]):.1f}" for part in PARTS)


class SimulatedStudy:
    """A study that is real in everything but its measurements.

    Args:
        folder: The folder for its databases.
        strategy: Name of the strategy.
    """

    def __init__(self, folder: Path, strategy: str) -> None:
        self.folder = folder
        self.strategy = strategy
        self.space = SearchSpace.from_values(SPACE)
        self.goals = default_objectives("accuracy")
        (folder / "study.yaml").write_text("name: simulated\n", "utf-8")

    def run(self, trials: int) -> dict[int, float]:
        """Run it, print a line at each mark, and return the total milliseconds at each."""
        watch, totals = Stopwatch(), {}
        storage, history = self.open()
        gate, cost = Gate(history), CostModel(history, Recipe())
        strategy, tracking = self.make_strategy(cost), self.track("mlflow.db", history)
        reporter = PlainReporter(Console(file=io.StringIO()))
        reporter.started("simulated", self.space, history, Budget(trials))
        print(f"{'trial':>6}" + "".join(f"{part:>10}" for part in PARTS) + "     total   frontier")
        for done in range(1, trials + 1):
            with watch.time("strategy"):
                candidate = strategy.propose()
            if candidate is None:
                break
            with watch.time("storage"):
                number = storage.start(candidate)
            record = simulate(number, candidate)
            with watch.time("gate"):
                cost.seconds(candidate)
                if timed := record.measurement or (record.skip and record.skip.skeleton):
                    gate.judge(candidate, timed, "fine-tune", {"distill": 0.5})
            with watch.time("history"):
                history.add(record)
                _ = history.frontier, history.hypervolume, history.common_cause
            with watch.time("storage", again=True):
                storage.finish(record, self.goals)
            with watch.time("strategy", again=True):
                strategy.observe(candidate, observed(record))
            with watch.time("tracking"):
                tracking.log_trial(record, history)
            with watch.time("console"):
                reporter.trial_finished(record, history)
            if done in MARKS:
                spent = watch.around(done)
                totals[done] = sum(spent.values())
                cells = "".join(f"{spent[part]:10.1f}" for part in PARTS)
                size = len(history.frontier)
                print(f"{done:6}{cells}{totals[done]:10.1f}{size:11}", flush=True)
        print(f"medians over all trials: {watch.medians()}", flush=True)
        return totals

    def show_resume(self) -> None:
        """Print the seconds to open the study again."""
        watch = Stopwatch()
        with watch.time("storage and history"):
            _, history = self.open()
            _ = history.hypervolume
        with watch.time("strategy"):
            strategy = self.make_strategy(CostModel(history, Recipe()))
            for record in history.records:
                strategy.observe(record.candidate, observed(record))
            strategy.propose()
        with watch.time("tracking"):
            self.track("mlflow.db", history)
        with watch.time("tracking from nothing"):
            self.track("other.db", history)
        spent = ", ".join(f"{part} {ms / 1e3:.1f} s" for part, [ms] in watch.ms.items())
        print(f"to resume after {len(history.records)} trials: {spent}", flush=True)

    def open(self) -> tuple[StudyStorage, History]:
        """Open the storage as a search does."""
        storage = StudyStorage(f"sqlite:///{self.folder}/optuna.db", "simulated")
        storage.create({"workload": "simulated"}, self.goals, self.space)
        storage.recover(self.goals)
        return storage, History(self.goals, records=storage.records())

    def make_strategy(self, cost: CostModel) -> Strategy:
        """Return the requested strategy, with the extras of a search with an hour budget."""
        if self.strategy == "frontier":
            return FrontierStrategy(self.space, self.goals, cost=cost.seconds)
        return OptunaStrategy(self.space, self.goals, sampler=self.strategy)

    def track(self, database: str, history: History) -> MlflowTracking:
        """Return MLflow's view of the study, brought up to date."""
        tracking = MlflowTracking(
            f"sqlite:///{self.folder / database}",
            name="simulated",
            definition={
                "uid": "simulated",
                "space": SPACE,
                "objectives": [asdict(goal) for goal in self.goals],
            },
            artifacts=self.folder / "mlartifacts",
            study_file=self.folder / "study.yaml",
            review=MlflowReview(ArtifactStore(self.folder / "store"), lambda *points: {}),
        )
        tracking.bring_up_to_date(history)
        return tracking


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
        providers={run.execution_provider: ProviderShare(40, 1.0, 1.0)},
        samples=candidate.digest,
        environment=fingerprint(),
    )


if __name__ == "__main__":
    sys.exit(main())
