"""The samplers of the table: Optuna's, BoTorch's, ours, and ours with one part taken out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ablations import ABLATIONS, Plain
from optuna.samplers import BaseSampler, GPSampler, NSGAIISampler, RandomSampler, TPESampler

STARTUP = 10
"""First points, the same for every sampler; what it draws by itself comes after them."""

DEVIATIONS = "deviations"
"""User attribute of a trial with the standard deviations of its values, where it knows them."""


@dataclass(frozen=True)
class Opponent:
    """A sampler as its authors recommend it.

    Attributes:
        make: Returns it, from a seed.
        takes_logarithms: Whether it is given logarithms of times and sizes, as all but one are.
    """

    make: Callable[[int], BaseSampler]
    takes_logarithms: bool = True


def _gp(seed: int) -> BaseSampler:
    return GPSampler(seed=seed, n_startup_trials=STARTUP, deterministic_objective=False)


def _tpe(seed: int) -> BaseSampler:
    return TPESampler(seed=seed, n_startup_trials=STARTUP, multivariate=True, constant_liar=True)


def _nsga2(seed: int) -> BaseSampler:
    # The default population of 50 would see two generations in 100 trials.
    return NSGAIISampler(seed=seed, population_size=20)


def _botorch(seed: int) -> BaseSampler:
    from botorch_sampler import NoisyImprovement  # BoTorch is installed for this benchmark only

    return NoisyImprovement(seed, STARTUP, DEVIATIONS)


def _smac(seed: int) -> BaseSampler:
    from smac_sampler import RandomForestSearch  # SMAC is installed for this benchmark only

    return RandomForestSearch(seed, STARTUP)


def _ours(seed: int) -> BaseSampler:
    return Plain(seed=seed, n_startup_trials=STARTUP, deviations=DEVIATIONS)


def _random(seed: int) -> BaseSampler:
    return RandomSampler(seed=seed)


MAIN: dict[str, Opponent] = {
    "ours": Opponent(_ours),
    "gp": Opponent(_gp),
    "tpe": Opponent(_tpe),
    "nsga2": Opponent(_nsga2),
    "random": Opponent(_random),
    "botorch": Opponent(_botorch),
    "smac": Opponent(_smac),
}
"""The contestants.

OptunaHub's AutoSampler has no row of its own: with two or three objectives and fewer than 250
trials, its rules choose Optuna's GP if no parameter is a category, and TPE (multivariate, with a
constant liar) if one is. So it is the row ``gp`` on ``hpobench`` and ``mixint``, and ``tpe`` on
``hpolib`` and ``nasbench201``.
"""

OPPONENTS: dict[str, Opponent] = {
    **MAIN,
    "ours-no-logarithms": Opponent(_ours, takes_logarithms=False),
    **{
        f"ours-{name}": Opponent(
            lambda seed, kind=kind, deviations=deviations: kind(  # type: ignore[misc]
                seed=seed, n_startup_trials=STARTUP, deviations=deviations
            )
        )
        for name, (kind, deviations) in {
            "no-intervals": (Plain, None),
            **{name: (kind, DEVIATIONS) for name, kind in ABLATIONS.items()},
        }.items()
    },
}
"""All, the ablations too."""
