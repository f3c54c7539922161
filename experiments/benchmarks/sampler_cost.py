"""What a proposal of the frontier sampler costs, by number of objectives and of trials.

    python experiments/benchmarks/sampler_cost.py
    python experiments/benchmarks/sampler_cost.py --trials 100 --objectives 2 4

Studies in memory are filled with random trials of a space with six parameters, then asked. Beside
the frontier sampler stand Optuna's own, on the same study; the GP is left out beyond 300 trials,
where a proposal takes it many seconds.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from statistics import median

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler, GPSampler, TPESampler

import paretune

SPACE: dict[str, BaseDistribution] = {
    "a": FloatDistribution(0.0, 1.0),
    "b": FloatDistribution(1e-4, 1.0, log=True),
    "c": IntDistribution(0, 20),
    "d": IntDistribution(1, 64, log=True),
    "e": CategoricalDistribution(["u", "v", "w"]),
    "f": CategoricalDistribution([True, False]),
}
MOST_OF_GP = 300
SAMPLERS: dict[str, Callable[[], BaseSampler]] = {
    "frontier": lambda: paretune.FrontierSampler(seed=0),
    "tpe": lambda: TPESampler(seed=0, multivariate=True),
    "gp": lambda: GPSampler(seed=0),
}


def filled(objectives: int, trials: int, sampler: BaseSampler) -> optuna.Study:
    """Return a study in memory with random trials."""
    rng = np.random.default_rng(0)
    study = optuna.create_study(directions=["minimize"] * objectives, sampler=sampler)
    ends = rng.random((objectives, 4))
    for _ in range(trials):
        place = rng.random(4)
        params = {
            "a": float(place[0]),
            "b": float(10 ** (4 * place[1] - 4)),
            "c": int(place[2] * 20),
            "d": int(64 ** place[3]),
            "e": str(rng.choice(["u", "v", "w"])),
            "f": bool(rng.random() < 0.5),
        }
        values = ((place - ends) ** 2).sum(axis=1) + 0.1 * params["f"]
        study.add_trial(
            optuna.create_trial(values=[*values], params=params, distributions=dict(SPACE))
        )
    return study


def milliseconds(study: optuna.Study, asks: int) -> float:
    """Return the median time of a proposal, whose trial is told at once."""
    rng, times = np.random.default_rng(1), []
    for _ in range(asks):
        start = time.perf_counter()
        trial = study.ask(dict(SPACE))
        times.append(1e3 * (time.perf_counter() - start))
        study.tell(trial, [*rng.random(len(study.directions))])
    return median(times)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--trials", type=int, nargs="*", default=[100, 300, 1000])
    parser.add_argument("--objectives", type=int, nargs="*", default=[2, 3, 4, 5])
    parser.add_argument("--asks", type=int, default=5)
    asked = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore")
    print("median milliseconds per proposal")
    print("objectives  trials" + "".join(f"{name:>10}" for name in SAMPLERS))
    for objectives in asked.objectives:
        for trials in asked.trials:
            cells = []
            for name, make in SAMPLERS.items():
                if name == "gp" and trials > MOST_OF_GP:
                    cells.append(f"{'–':>10}")
                    continue
                taken = milliseconds(filled(objectives, trials, make()), asked.asks)
                cells.append(f"{taken:10.0f}")
            print(f"{objectives:10}  {trials:6}" + "".join(cells), flush=True)


if __name__ == "__main__":
    main()
