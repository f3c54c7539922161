"""One study of the table: a sampler on a problem from a seed."""

from __future__ import annotations

import time
import warnings
from collections import deque
from typing import Any

import numpy as np
import optuna
from opponents import DEVIATIONS, OPPONENTS, STARTUP
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from scipy.stats import qmc
from suite import problem
from table_problem import TableProblem, logarithms

from paretune.search.propose.parameter_space import ParameterSpace


def opening(of: TableProblem, seed: int) -> list[dict[str, Any]]:
    """Return the first points that every sampler is given: a scrambled Sobol sequence."""
    space = ParameterSpace(of.space)
    draws = qmc.Sobol(len(of.space), rng=np.random.default_rng([seed, 1])).random(16)[:STARTUP]
    counts = np.array(space.counts)
    rows = np.where(counts > 0, np.floor(draws * np.maximum(counts, 1)), draws)
    return [space.params(row) for row in rows]


def run(name: str, opponent: str, seed: int, trials: int, workers: int = 1) -> dict[str, Any]:
    """Return a study's results, ready for a line of JSON.

    Args:
        name: Of the problem.
        opponent: A key of :data:`OPPONENTS`.
        seed: Of the problem's instance, the first points, the noise and the sampler.
        trials: To run.
        workers: Trials under way at a time; the one that began first ends first.
    """
    warnings.simplefilter("ignore")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    of, contestant = problem(name, seed), OPPONENTS[opponent]
    study = optuna.create_study(
        directions=["minimize"] * len(of.is_ratio), sampler=contestant.make(seed)
    )
    for point in opening(of, seed):
        study.enqueue_trial(point)
    rng = np.random.default_rng([seed, 2])
    truths: list[list[float]] = []
    seconds: list[float] = []
    under_way: deque[optuna.Trial] = deque()
    asking, started = 0.0, time.perf_counter()
    for number in range(trials + workers - 1):
        if number < trials:
            began = time.perf_counter()
            trial = study.ask()
            for each, distribution in of.space.items():
                _suggest(trial, each, distribution)
            asking += time.perf_counter() - began
            under_way.append(trial)
        if number + 1 < workers:
            continue
        trial = under_way.popleft()
        seen = of.observe(trial.params, rng)
        truths.append(seen.truth)
        if seen.seconds is not None:
            seconds.append(seen.seconds)
        values = np.array(seen.values)
        deviations = None if seen.deviations is None else np.array(seen.deviations)
        if contestant.takes_logarithms:
            if deviations is not None:
                deviations = np.where(of.is_ratio, deviations / values, deviations)
            values = logarithms(values, of.is_ratio)
        if deviations is not None:
            trial.set_user_attr(DEVIATIONS, deviations.tolist())
        began = time.perf_counter()
        study.tell(trial, values.tolist())
        asking += time.perf_counter() - began
    return {
        "problem": name,
        "opponent": opponent,
        "seed": seed,
        "trials": trials,
        "workers": workers,
        "sampler_seconds": round(asking, 2),
        "seconds": round(time.perf_counter() - started, 2),
        "truths": [[_short(value) for value in truth] for truth in truths],
        "trial_seconds": [_short(value) for value in seconds],
    }


def _suggest(trial: optuna.Trial, name: str, distribution: Any) -> None:
    if isinstance(distribution, CategoricalDistribution):
        trial.suggest_categorical(name, distribution.choices)
    elif isinstance(distribution, IntDistribution):
        trial.suggest_int(name, distribution.low, distribution.high)
    else:
        assert isinstance(distribution, FloatDistribution)
        trial.suggest_float(name, distribution.low, distribution.high)


def _short(value: float) -> float:
    return float(f"{value:.9g}")
