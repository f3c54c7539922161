"""Benchmark: what does a new study gain from the measurements of an earlier one?

    python experiments/benchmarks/transfer.py [--seeds 10] [--jobs 2]

Each seed is an analytic problem (problem.py). The earlier study has 50 evaluations on one machine,
by the same strategy. The new study is on another: `newer` runs everything within 10 % of twice as
fast, as with another version or processor of the same kind; on `other`, all that is the machine's
is drawn anew (what each quantization, thread and batch is worth). Qualities stay as they are. It
prints the share of the true frontier's hypervolume after a number of evaluations: without the
earlier study, with its frontier tried first, with its measurements learned from (as `warm_start`
does), and with both.
"""

import argparse
from collections.abc import Mapping

import numpy as np
from joblib import Parallel, delayed
from problem import SPACE, Problem
from study_problem import EVERYTHING, OBJECTIVES

from paretune.search.propose.frontier_strategy import FrontierStrategy
from paretune.search.propose.strategy import Strategy, WarmStart
from paretune.search.record.objective import losses
from paretune.search.record.pareto import non_dominated
from paretune.spaces import Candidate

EARLIER = 50
BUDGETS = (5, 10, 15, 25, 50)
WAYS = ("neither", "frontier first", "measurements", "both")
Found = dict[Candidate, Mapping[str, float]]


def search(problem: Problem, strategy: Strategy, evaluations: int) -> Found:
    """Return what a strategy measured, in order."""
    found: Found = {}
    for _ in range(evaluations):
        candidate = strategy.propose()
        assert candidate is not None
        found[candidate] = problem.metrics(candidate)
        strategy.observe(candidate, found[candidate])
    return found


def moved(seed: int, machine: str) -> Problem:
    """Return a seed's problem on another machine."""
    problem, drawn = Problem(seed), Problem(seed + 1_000)
    rng = np.random.default_rng([seed, 7])
    if machine == "other":
        for name in ("share", "batching", "threading", "waking_ms", "overhead_ms", "other"):
            setattr(problem, name, getattr(drawn, name))
        return problem
    near = {name: value * rng.uniform(0.9, 1.1) for name, value in problem.share.items()}
    problem.share = {name: value / 2 for name, value in near.items()}
    problem.overhead_ms = {n: v * rng.uniform(0.9, 1.1) / 2 for n, v in problem.overhead_ms.items()}
    problem.waking_ms *= rng.uniform(0.9, 1.1) / 2
    return problem


def run(machine: str, way: str, seed: int) -> list[float]:
    """Return the share of the hypervolume after each budget."""
    before = search(
        Problem(seed), FrontierStrategy(SPACE, OBJECTIVES, seed=seed, wish=EVERYTHING), EARLIER
    )
    learned = before if way in ("measurements", "both") else None
    strategy: Strategy = FrontierStrategy(
        SPACE, OBJECTIVES, seed=seed + 1, wish=EVERYTHING, earlier=learned
    )
    if way in ("frontier first", "both"):
        best = non_dominated(losses(list(before.values()), OBJECTIVES))
        strategy = WarmStart(
            strategy, SPACE, [c for c, is_in in zip(before, best, strict=True) if is_in]
        )
    problem = moved(seed, machine)
    found = list(search(problem, strategy, BUDGETS[-1]).values())
    return [problem.share_of_hypervolume([dict(m) for m in found[:n]]) for n in BUDGETS]


def main() -> None:
    """Print a line per machine and way."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--jobs", type=int, default=1, help="seeds side by side")
    asked = parser.parse_args()
    print(f"{'machine':<10}{'of the earlier study':<24}" + "".join(f"{n:>8}" for n in BUDGETS))
    for machine in ("newer", "other"):
        for way in WAYS:
            shares = Parallel(asked.jobs)(
                delayed(run)(machine, way, seed) for seed in range(asked.seeds)
            )
            means = "".join(f"{mean:8.3f}" for mean in np.mean(shares, axis=0))
            print(f"{machine:<10}{way:<24}{means}", flush=True)


if __name__ == "__main__":
    main()
