"""Benchmark: what does each part of Paretune's strategy give?

    python experiments/benchmarks/parts.py [--seeds 20] [--evaluations 50] [--jobs 2]
        [--hours H] [--only NAME …]

The strategy with one part taken out, on the analytic problems of samplers.py (one per seed): the
share of the true frontier's hypervolume after 10 to `--evaluations` evaluations (mean over seeds),
and in how many problems the whole strategy has more and less. With `--hours`, it prints the same
after parts of a simulated night, where builds take minutes (nights.py).
"""

import argparse
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any
from unittest import mock

import numpy as np
import optuna
from joblib import Parallel, delayed
from numpy.typing import NDArray
from problem import Problem
from samplers import ours
from simulated_study import study

from paretune.search.propose import frontier_strategy
from paretune.search.propose.frontier_strategy import FrontierStrategy
from paretune.search.propose.surrogates import surrogate
from paretune.search.propose.surrogates.encoding import Encoding
from paretune.search.propose.surrogates.gaussian_process import Prior
from paretune.search.run.budget import Budget
from paretune.spaces import Candidate, SearchSpace

EVALUATIONS = (10, 15, 25, 50, 100)
SHARES_OF_HOURS = (0.125, 0.25, 0.5, 1.0)

TIE = 1e-9
"""Differences of the share up to this are a tie."""

Ablation = Callable[[], AbstractContextManager[Any]]


def _in_place(target: Any, name: str, value: Any) -> Ablation:
    return lambda: mock.patch.object(target, name, value)


def _flat(features: int, usual: Callable[[int], Prior] = surrogate.usual_prior) -> Prior:
    return usual(features).flat


def _baseline_only(space: SearchSpace, *_: Any) -> list[Candidate]:
    return [space.baseline]


@contextmanager
def _own_lengths() -> Iterator[None]:
    begin = Encoding.__init__

    def apart(encoding: Encoding, *args: Any) -> None:
        begin(encoding, *args)
        encoding.shared = np.arange(len(encoding.shared))

    with mock.patch.object(Encoding, "__init__", apart):
        yield


def _no_limits(pool: list[Candidate], known: Any, objectives: Any, name: str) -> NDArray[Any]:
    return np.full((len(pool), len(objectives)), -np.inf)


def _no_surprises(pool: list[Candidate], known: Any, objectives: Any) -> NDArray[Any]:
    return np.zeros((len(pool), len(objectives)))


WHOLE = "whole"
ABLATIONS: dict[str, Ablation] = {
    WHOLE: nullcontext,
    "no first candidates": _in_place(frontier_strategy, "first_candidates", _baseline_only),
    "no first runs of a training": _in_place(FrontierStrategy, "_probe", lambda self, taken: None),
    "no surprises": _in_place(frontier_strategy, "surprises", _no_surprises),
    "no limits of quality": _in_place(frontier_strategy, "least_losses", _no_limits),
    "no prior of lengths": _in_place(surrogate, "usual_prior", _flat),
    "own length of each name": _own_lengths,
}
"""By the name of what is missing."""


def by_evaluations(name: str, seed: int, counts: list[int]) -> list[float]:
    """Return the shares of the hypervolume after so many evaluations."""
    warnings.simplefilter("ignore")
    problem = Problem(seed)
    with ABLATIONS[name]():
        found = ours(problem, "frontier", seed, counts[-1])
    return [problem.share_of_hypervolume(found[:count]) for count in counts]


def by_hours(name: str, seed: int, hours: list[float]) -> list[float]:
    """Return the shares of the hypervolume after so many simulated hours."""
    warnings.simplefilter("ignore")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    problem = Problem(seed)
    with ABLATIONS[name]():
        night = study(problem, seed, Budget(10**6, hours[-1]))
    return [
        problem.share_of_hypervolume([m for at, m in night.found if at <= each * 3600])
        for each in hours
    ]


def main() -> None:
    """Print one line per part that is taken out."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--evaluations", type=int, default=50)
    parser.add_argument("--hours", type=float, help="of a simulated night, instead of evaluations")
    parser.add_argument("--jobs", type=int, default=1, help="seeds side by side")
    parser.add_argument("--only", nargs="*", default=list(ABLATIONS), choices=list(ABLATIONS))
    asked = parser.parse_args()
    counts = [count for count in EVALUATIONS if count <= asked.evaluations]
    marks = [share * asked.hours for share in SHARES_OF_HOURS] if asked.hours else counts
    unit = " h" if asked.hours else ""
    heads = [f"{mark:g}{unit}" for mark in marks]
    print(f"{'':<28}" + "".join(f"{head:>8}" for head in heads) + "   whole has more : less")
    whole: NDArray[np.float64] | None = None
    for name in dict.fromkeys([WHOLE, *asked.only]):
        run: Callable[..., list[float]] = by_hours if asked.hours else by_evaluations
        jobs = (delayed(run)(name, seed, marks) for seed in range(asked.seeds))
        rows = []
        for row in Parallel(asked.jobs, return_as="generator")(jobs):
            rows.append(row)
            print(f"{name}: {len(rows)} of {asked.seeds}", file=sys.stderr, flush=True)
        shares = np.array(rows)
        whole = shares if whole is None else whole
        line = "".join(f"{mean:8.3f}" for mean in shares.mean(axis=0))
        more, less = (whole > shares + TIE).sum(axis=0), (whole < shares - TIE).sum(axis=0)
        counted = ", ".join(f"{a} : {b}" for a, b in zip(more, less, strict=True))
        print(f"{name:<28}{line}" + ("" if name == WHOLE else f"   {counted}"), flush=True)


if __name__ == "__main__":
    main()
