"""Benchmark: how much of the true frontier is known after so many simulated hours?

    python experiments/benchmarks/nights.py [--seeds 10] [--only NAME …]

Builds of minutes and measurements of seconds on a simulated clock; the strategies, the cost model,
the gate and the order of steps are the real ones. Each seed is a different problem (problem.py).
`naive` is plain Optuna, which pays for every stage of every trial; `naive+cache` pays for a stage
once. It prints the share of the true frontier's hypervolume (mean over seeds), how much sooner than
`naive` a contestant reaches what `naive` has at the end (median over seeds), and the true fate of
the skipped candidates.
"""

import argparse
import math
import statistics
import warnings
from bisect import bisect_left
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import optuna
from problem import EVERYTHING, MEASURE_SECONDS, OBJECTIVES, RECIPE, SPACE, Problem

from paretune.runners.build.builder import Artifact, Training
from paretune.runners.build.plan import TRAINING_STAGES, plan
from paretune.runners.measure.measurement import Measurement
from paretune.runners.measure.statistic import Statistic
from paretune.runners.store.artifact_store import StageRecord
from paretune.search.propose.cost import CostModel
from paretune.search.propose.frontier_strategy import FrontierStrategy
from paretune.search.propose.gate import Gate
from paretune.search.propose.strategy import OptunaStrategy, Strategy
from paretune.search.record.history import History
from paretune.search.record.objective import losses
from paretune.search.record.trial import TrialRecord
from paretune.search.record.unfinished import Unfinished
from paretune.search.run.attempt import Attempt, BuildStep
from paretune.spaces import BuildSpec, Candidate, RunSpec

HOURS = (0.5, 1, 2, 4)
Found = list[tuple[float, dict[str, float]]]


@dataclass
class Machine:
    """A build worker and an evaluator in one, on a simulated clock.

    Attributes:
        problem: Provides metrics and seconds.
        seconds: The clock.
    """

    problem: Problem
    seconds: float = 0.0
    _done: set[str] = field(default_factory=set)

    def missing(self, build: BuildSpec, model_format: str = "onnx") -> list[str]:
        """Return the stages that a build would have to run (see BuildWorker.missing)."""
        return [stage for stage, key in _steps(build) if key not in self._done]

    def train(self, spec: BuildSpec, until: str) -> Training:
        """Run a build's stages up to a training stage."""
        names = [stage for stage, _ in _steps(spec)]
        spent = self._run(spec, _steps(spec)[: names.index(until) + 1])
        return Training(self._qualities(spec, until), spent, {})

    def build(
        self, spec: BuildSpec, model_format: str = "onnx", *, is_skeleton: bool = False
    ) -> Artifact:
        """Run every stage of a build that has not run yet."""
        steps = _steps(spec, is_skeleton)
        spent = self._run(spec, steps)
        lineage = [
            StageRecord(
                stage=stage,
                key=key,
                params={},
                parent="",
                output=key,
                seconds=self.problem.stage_seconds(stage, spec),
            )
            for stage, key in steps
        ]
        if not is_skeleton:
            qualities = self._qualities(spec, steps[-1][0])
            lineage = [
                replace(r, metrics={"accuracy": qualities[r.stage]}) if r.stage in qualities else r
                for r in lineage
            ]
        return Artifact(lineage[-1].output, Path("model.onnx"), 1, tuple(lineage), spent)

    def measure(self, candidate: Candidate, *, is_skeleton: bool = False) -> Measurement:
        """Return a candidate's measurement, or its skeleton's."""
        self.seconds += MEASURE_SECONDS
        values = self.problem.metrics(candidate)
        if is_skeleton:
            del values["accuracy"]
        intervals = {k: Statistic(v, v * 0.97, v * 1.03) for k, v in values.items()}
        if not is_skeleton:
            intervals["accuracy"] = Statistic(values["accuracy"])
        return Measurement(candidate.run, "", intervals, 3, 0, True, True, True, 0.1, {}, "", {})

    def _run(self, build: BuildSpec, steps: list[tuple[str, str]]) -> dict[str, float]:
        spent = {
            stage: self.problem.stage_seconds(stage, build)
            for stage, key in steps
            if key not in self._done
        }
        self._done |= {key for _, key in steps}
        self.seconds += sum(spent.values())
        return spent

    def _qualities(self, build: BuildSpec, until: str) -> dict[str, float]:
        """Return the quality after each training; a quarter of one misses some of it."""
        qualities = {}
        for stage, _ in _steps(build):
            if stage in TRAINING_STAGES:
                ratio = build.pruning_ratio if stage.startswith("fine-tune") else 0.0
                whole = self.problem.accuracy(replace(build, pruning_ratio=ratio))
                lost = 0.03 if stage.endswith("-short") else 0.0
                qualities[stage] = whole - lost
            if stage == until:
                break
        return qualities


def _steps(build: BuildSpec, is_skeleton: bool = False) -> list[tuple[str, str]]:
    """Return the names and the keys of a build's stages."""
    steps, key = [], ""
    for stage, params in plan(build, RECIPE, is_skeleton=is_skeleton):
        key += f"/{stage}:{build.student if stage == 'export' else ''}{params}"
        steps.append((stage, key))
    return steps


@dataclass
class Night:
    """The results of a simulated study.

    Attributes:
        found: Seconds and metrics of the measured trials.
        skipped: Candidates that were skipped.
        trials: Number of trials.
        saved_seconds: Training that skipped candidates would have cost.
    """

    found: Found = field(default_factory=list)
    skipped: list[Candidate] = field(default_factory=list)
    trials: int = 0
    saved_seconds: float = 0.0


def study(problem: Problem, seed: int, sampler: str, *, has_hours: bool = True) -> Night:
    """Run Paretune's own loop, one step after the other."""
    machine, night = Machine(problem), Night()
    history = History(OBJECTIVES)
    gate, cost = Gate(history), CostModel(history, RECIPE)
    strategy: Strategy
    if sampler == "frontier":
        seconds = cost.seconds if has_hours else None
        strategy = FrontierStrategy(SPACE, OBJECTIVES, seed=seed, cost=seconds, interest=EVERYTHING)
    else:
        strategy = OptunaStrategy(SPACE, OBJECTIVES, sampler=sampler, seed=seed)  # type: ignore[arg-type]
    while machine.seconds < HOURS[-1] * 3600:
        candidate = strategy.propose()
        if candidate is None:
            break
        record = _try(machine, Attempt(Unfinished(night.trials, candidate, 0), "onnx", gate, cost))
        night.trials += 1
        history.add(record)
        metrics = record.metrics
        if record.skip:
            metrics |= {"accuracy": record.skip.quality_bound}
            night.skipped.append(candidate)
            missing = machine.missing(candidate.build)
            night.saved_seconds += sum(
                problem.stage_seconds(stage, candidate.build) for stage in missing
            )
        else:
            night.found.append((machine.seconds, record.metrics))
        strategy.observe(candidate, metrics)
    return night


def _try(machine: Machine, attempt: Attempt) -> TrialRecord:
    candidate = attempt.trial.candidate

    class Evaluator:
        def measure(self, artifact: Artifact, run: RunSpec) -> Measurement:
            return machine.measure(candidate)

        def time(self, artifact: Artifact, run: RunSpec) -> Measurement:
            return machine.measure(candidate, is_skeleton=True)

    steps, outcome = attempt.steps(), None
    while True:
        try:
            step: Any = steps.send(outcome)
        except StopIteration as end:
            record: TrialRecord = end.value
            took = {k: MEASURE_SECONDS for k in record.stage_seconds if k.startswith("measure")}
            return replace(record, stage_seconds={**record.stage_seconds, **took})
        if isinstance(step.job, partial):
            # A training names the real worker's method; the machine has one with its arguments.
            outcome = machine.train(**step.job.keywords)
        else:
            outcome = step.job(machine if isinstance(step, BuildStep) else Evaluator())


def naive(problem: Problem, seed: int, *, has_cache: bool) -> Night:
    """Run plain Optuna with its default sampler."""
    machine, night = Machine(problem), Night()

    def objective(trial: optuna.Trial) -> list[float]:
        values = {a.name: trial.suggest_categorical(a.name, a.values) for a in SPACE.axes}
        candidate = Candidate.from_params(values)
        if not has_cache:
            machine._done.clear()
        machine.build(candidate.build)
        metrics = machine.measure(candidate).metrics
        night.found.append((machine.seconds, metrics))
        night.trials += 1
        return [goal.loss(metrics[goal.metric]) for goal in OBJECTIVES]

    sampler = optuna.samplers.TPESampler(seed=seed)
    loop = optuna.create_study(directions=["minimize"] * 3, sampler=sampler)
    while machine.seconds < HOURS[-1] * 3600:
        loop.optimize(objective, n_trials=1)
    return night


CONTESTANTS = {
    "naive": lambda problem, seed: naive(problem, seed, has_cache=False),
    "naive+cache": lambda problem, seed: naive(problem, seed, has_cache=True),
    "tpe": lambda problem, seed: study(problem, seed, "tpe"),
    "gp": lambda problem, seed: study(problem, seed, "gp"),
    "frontier": lambda problem, seed: study(problem, seed, "frontier"),
}


def main() -> None:
    """Print one line per contestant."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--only", nargs="*", default=list(CONTESTANTS))
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    head = "".join(f"{hours:>6g} h" for hours in HOURS)
    print(f"{'':<12}{head}  sooner  trials  skipped")
    ends: dict[int, float] = {}
    for name in arguments.only:
        shares: list[list[float]] = []
        nights, sooner = [], []
        lost = 0
        for seed in range(arguments.seeds):
            problem = Problem(seed)
            night = CONTESTANTS[name](problem, seed)
            nights.append(night)
            shares.append(
                [
                    problem.share_of_hypervolume([m for at, m in night.found if at <= h * 3600])
                    for h in HOURS
                ]
            )
            lost += _on_frontier(problem, night)
            if name == "naive":
                ends[seed] = shares[-1][-1]
            if seed in ends:
                sooner.append(HOURS[-1] * 3600 / _reached(problem, night, ends[seed]))
        means = [statistics.fmean(column) for column in zip(*shares, strict=True)]
        trials = sum(night.trials for night in nights)
        skipped = sum(len(night.skipped) for night in nights)
        line = f"{name:<12}" + "".join(f"{mean:8.3f}" for mean in means)
        line += f"{statistics.median(sooner):6.1f} ×" if sooner else " " * 8
        line += f"{trials / len(nights):8.0f}{skipped / trials:9.1%}"
        if skipped:
            saved = sum(night.saved_seconds for night in nights) / 3600 / len(nights)
            line += f"; {saved:.1f} h of training saved a night; {lost} of {skipped} skipped "
            line += "candidates would have been on the frontier"
        print(line, flush=True)


def _reached(problem: Problem, night: Night, share: float) -> float:
    """Return the seconds after which a share was reached; never is infinitely late."""
    metrics = [metrics for _, metrics in night.found]
    counts = range(1, len(metrics) + 1)
    count = bisect_left(counts, share, key=lambda n: problem.share_of_hypervolume(metrics[:n]))
    return night.found[count][0] if count < len(metrics) else math.inf


def _on_frontier(problem: Problem, night: Night) -> int:
    """Count skipped candidates that nothing measured that night dominates."""
    found = losses([metrics for _, metrics in night.found], OBJECTIVES)
    points = losses([problem.metrics(candidate) for candidate in night.skipped], OBJECTIVES)
    return sum(not ((found <= p).all(axis=1) & (found < p).any(axis=1)).any() for p in points)


if __name__ == "__main__":
    main()
