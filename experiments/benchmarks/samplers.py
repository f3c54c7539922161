"""Benchmark: how good is a strategy's frontier after a number of evaluations?

    python experiments/benchmarks/samplers.py [--seeds 10] [--evaluations 200] [--jobs 2]
        [--only NAME …]

Each seed is a different analytic problem (problem.py: 7,560 candidates on six axes, three
objectives) and also seeds the sampler. It prints the share of the true frontier's hypervolume (mean
over seeds) and the median milliseconds per proposal. Paretune's strategies propose nothing twice;
plain Optuna (`optuna-…`) is used as its users do, with the same logarithms as objectives, and a
repeated proposal counts. Axes with an order are integers for it. `frontier-sampler` is
`paretune.FrontierSampler` in such a study: what `frontier` has beyond it is what a search knows of
its axes.
"""

import argparse
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from typing import TextIO

import optuna
from joblib import Parallel, delayed
from plain_trial import suggested
from problem import SPACE, Problem
from study_problem import EVERYTHING, OBJECTIVES

from paretune import FrontierSampler
from paretune.search.propose.frontier_strategy import FrontierStrategy
from paretune.search.propose.strategy import OptunaStrategy, Strategy

BUDGETS = (25, 50, 100, 200)
Found = list[dict[str, float]]


def ours(problem: Problem, name: str, seed: int, evaluations: int) -> Found:
    """Return the results of one of Paretune's strategies, in order."""
    strategy: Strategy
    if name == "frontier":
        strategy = FrontierStrategy(SPACE, OBJECTIVES, seed=seed, wish=EVERYTHING)
    else:
        strategy = OptunaStrategy(SPACE, OBJECTIVES, sampler=name, seed=seed)  # type: ignore[arg-type]
    found: Found = []
    for _ in range(evaluations):
        candidate = strategy.propose()
        assert candidate is not None
        found.append(problem.metrics(candidate))
        strategy.observe(candidate, found[-1])
    return found


def plain(problem: Problem, sampler: optuna.samplers.BaseSampler, evaluations: int) -> Found:
    """Return the results of plain Optuna, in order."""
    found: Found = []

    def objective(trial: optuna.Trial) -> list[float]:
        found.append(problem.metrics(suggested(trial, SPACE)))
        return [goal.loss(found[-1][goal.metric]) for goal in OBJECTIVES]

    study = optuna.create_study(directions=["minimize"] * 3, sampler=sampler)
    study.optimize(objective, n_trials=evaluations)
    return found


def _multivariate(seed: int) -> optuna.samplers.TPESampler:
    return optuna.samplers.TPESampler(seed=seed, multivariate=True, constant_liar=True)


PLAIN: dict[str, Callable[[int], optuna.samplers.BaseSampler]] = {
    "frontier-sampler": lambda seed: FrontierSampler(seed=seed),
    "optuna-tpe": lambda seed: optuna.samplers.TPESampler(seed=seed),
    "optuna-tpe-multivariate": _multivariate,
    "optuna-nsga2": lambda seed: optuna.samplers.NSGAIISampler(seed=seed),
    "optuna-random": lambda seed: optuna.samplers.RandomSampler(seed=seed),
    "optuna-gp": lambda seed: optuna.samplers.GPSampler(seed=seed),
}
OURS = ("frontier", "tpe", "nsga2", "random", "gp")


def run(name: str, seed: int, budgets: list[int]) -> tuple[list[float], float]:
    """Return the share of the hypervolume at each budget, and the milliseconds per proposal."""
    warnings.simplefilter("ignore")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    problem, started = Problem(seed), time.perf_counter()
    if name in PLAIN:
        found = plain(problem, PLAIN[name](seed), budgets[-1])
    else:
        found = ours(problem, name, seed, budgets[-1])
    each_ms = (time.perf_counter() - started) * 1e3 / budgets[-1]
    return [problem.share_of_hypervolume(found[:budget]) for budget in budgets], each_ms


def main() -> None:
    """Print one line per contestant."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--evaluations", type=int, default=BUDGETS[-1])
    parser.add_argument("--jobs", type=int, default=1, help="seeds side by side")
    parser.add_argument("--only", nargs="*", default=[*OURS, *PLAIN])
    arguments = parser.parse_args()
    budgets = [budget for budget in BUDGETS if budget <= arguments.evaluations]
    print(f"{'':<24}" + "".join(f"{budget:>8}" for budget in budgets) + "  ms each")
    for name in arguments.only:
        runs = (delayed(run)(name, seed, budgets) for seed in range(arguments.seeds))
        rows, each_ms = [], []
        for row, milliseconds in Parallel(arguments.jobs, return_as="generator")(runs):
            show(f"{name}, seed {len(rows)}", row, milliseconds, sys.stderr)
            rows.append(row)
            each_ms.append(milliseconds)
        means = [statistics.fmean(column) for column in zip(*rows, strict=True)]
        show(name, means, statistics.median(each_ms), sys.stdout)


def show(name: str, row: list[float], each_ms: float, file: TextIO) -> None:
    """Print a line of the table; lines of single seeds show the progress."""
    shares = "".join(f"{share:8.3f}" for share in row)
    print(f"{name:<24}{shares}{each_ms:9.0f}", file=file, flush=True)


if __name__ == "__main__":
    main()
