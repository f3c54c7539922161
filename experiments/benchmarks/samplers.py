"""Benchmark: how good is a strategy's frontier after so many evaluations?

    python experiments/benchmarks/samplers.py [--seeds 10] [--evaluations 50] [--only NAME …]

An analytic stand-in for a study (7,560 candidates on six axes, three objectives): latencies with a
call's overhead, threads that pay late, int8 that helps where it is static, accuracy that collapses
under strong pruning. Printed is the share of the true frontier's hypervolume, mean over seeds.
Paretune's strategies propose nothing twice; plain Optuna is driven as its users do, with the same
logarithms as objectives, and a repeated proposal counts.
"""

import argparse
import math
import statistics
import time
import warnings
from collections.abc import Callable

import numpy as np
import optuna

from search.frontier_strategy import FrontierStrategy
from search.hypervolume import hypervolume
from search.objective import default_objectives, losses, reference_point
from search.pareto import non_dominated
from search.strategy import OptunaStrategy
from spaces import Candidate, SearchSpace

OBJECTIVES = default_objectives("accuracy")
WORK = {"reference": 100.0, "large": 40.0, "medium": 15.0, "small": 5.0, "tiny": 1.5}
QUALITY = {"reference": 0.95, "large": 0.945, "medium": 0.93, "small": 0.88, "tiny": 0.78}
SCHEMES = {  # share of the work, loss of accuracy
    "fp32": (1.0, 0.0),
    "fp16": (1.05, 0.0),
    "int8-static": (0.4, 0.006),
    "int8-dynamic": (1.3, 0.004),
    "int8-weight": (1.02, 0.001),
    "int4-weight": (0.9, 0.03),
}
SPACE = SearchSpace.from_values(
    {
        "student": list(WORK),
        "pruning_ratio": [0.0, 0.15, 0.3, 0.45, 0.6, 0.75],
        "quantization": list(SCHEMES),
        "batch_size": [1, 2, 4, 8, 16, 32, 64],
        "execution_provider": ["CPUExecutionProvider", "openvino/CPU"],
        "intra_op_threads": [1, 2, 4],
    }
)
BUDGETS = (25, 50, 100, 200)


def metrics(candidate: Candidate) -> dict[str, float]:
    """Return what a candidate gives."""
    build, run = candidate.build, candidate.run
    share, loss = SCHEMES[build.quantization.value]
    ratio, threads = build.pruning_ratio, run.intra_op_threads
    other = run.runner == "openvino"
    if other:
        share *= 0.8 if build.quantization.value == "int8-static" else 1.05
    work = WORK[build.student] * (1 - ratio) ** 1.7 * share * run.batch_size**0.93
    latency_ms = work / threads**0.75 + 0.6 * (threads - 1) + (0.9 if other else 0.25)
    size = 1.5 - math.log10(WORK[build.student]) / 2
    noise = np.random.default_rng(int(candidate.digest[:8], 16)).normal(0, 0.02)
    latency_ms *= math.exp(noise)
    return {
        "accuracy": QUALITY[build.student] - loss * (1 + 3 * ratio) - 0.35 * ratio**4 * size,
        "latency_p95_ms": latency_ms,
        "throughput_samples_per_s": 1e3 * run.batch_size / latency_ms,
    }


def ours(name: str, seed: int, evaluations: int) -> list[dict[str, float]]:
    """Return what one of Paretune's strategies finds, in order."""
    strategy: FrontierStrategy | OptunaStrategy
    if name == "frontier":
        strategy = FrontierStrategy(SPACE, OBJECTIVES, seed=seed)
    else:
        strategy = OptunaStrategy(SPACE, OBJECTIVES, sampler=name, seed=seed)  # type: ignore[arg-type]
    found = []
    for _ in range(evaluations):
        candidate = strategy.propose()
        assert candidate is not None
        found.append(metrics(candidate))
        strategy.observe(candidate, found[-1])
    return found


def plain(sampler: optuna.samplers.BaseSampler, evaluations: int) -> list[dict[str, float]]:
    """Return what plain Optuna finds, in order."""
    found = []

    def objective(trial: optuna.Trial) -> list[float]:
        values = {
            axis.name: trial.suggest_categorical(axis.name, axis.values) for axis in SPACE.axes
        }
        found.append(metrics(Candidate.from_params(values)))
        return [goal.loss(found[-1][goal.metric]) for goal in OBJECTIVES]

    study = optuna.create_study(directions=["minimize"] * 3, sampler=sampler)
    study.optimize(objective, n_trials=evaluations)
    return found


CONTESTANTS: dict[str, Callable[[int, int], list[dict[str, float]]]] = {
    "frontier": lambda seed, n: ours("frontier", seed, n),
    "gp": lambda seed, n: ours("gp", seed, n),
    "tpe": lambda seed, n: ours("tpe", seed, n),
    "random": lambda seed, n: ours("random", seed, n),
    "optuna-gp": lambda seed, n: plain(optuna.samplers.GPSampler(seed=seed), n),
    "optuna-tpe": lambda seed, n: plain(optuna.samplers.TPESampler(seed=seed), n),
    "optuna-tpe-multivariate": lambda seed, n: plain(
        optuna.samplers.TPESampler(seed=seed, multivariate=True, constant_liar=True), n
    ),
    "optuna-nsga2": lambda seed, n: plain(optuna.samplers.NSGAIISampler(seed=seed), n),
}


def main() -> None:
    """Print a line a contestant."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--evaluations", type=int, default=50)
    parser.add_argument("--only", nargs="*", choices=list(CONTESTANTS), default=list(CONTESTANTS))
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    everything = losses([metrics(candidate) for candidate in SPACE.candidates()], OBJECTIVES)
    reference = reference_point(metrics(SPACE.baseline), OBJECTIVES)
    best = hypervolume(everything[non_dominated(everything)], reference)
    budgets = [budget for budget in BUDGETS if budget <= arguments.evaluations]
    print(f"{'':<24}" + "".join(f"{budget:>8}" for budget in budgets) + "   s an evaluation")
    for name in arguments.only:
        rows, started = [], time.perf_counter()
        for seed in range(arguments.seeds):
            found = losses(CONTESTANTS[name](seed, arguments.evaluations), OBJECTIVES)
            rows.append([hypervolume(found[:budget], reference) / best for budget in budgets])
        seconds = (time.perf_counter() - started) / arguments.seeds / arguments.evaluations
        shares = "".join(f"{statistics.fmean(column):>8.3f}" for column in zip(*rows, strict=True))
        print(f"{name:<24}{shares}   {seconds:.3f}", flush=True)


if __name__ == "__main__":
    main()
