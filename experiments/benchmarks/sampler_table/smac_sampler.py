"""SMAC3's multi-objective search as a sampler of Optuna: a random forest, and ParEGO's weights."""

from __future__ import annotations

import tempfile
from typing import Any

from ConfigSpace import Categorical, Configuration, ConfigurationSpace, Float, Integer
from library_sampler import LibrarySampler
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState
from smac import HyperparameterOptimizationFacade, Scenario
from smac.multi_objective import ParEGO
from smac.runhistory.dataclasses import TrialInfo, TrialValue


class RandomForestSearch(LibrarySampler):
    """Asks SMAC3's facade for hyperparameter optimization, with its defaults but for two things.

    Every configuration is evaluated once, and the forest is trained before every proposal instead
    of every eighth. (Lindauer et al., "SMAC3: A Versatile Bayesian Optimization Package for
    Hyperparameter Optimization", 2022; Knowles, "ParEGO", 2006.)

    Args:
        seed: Of its draws.
        startup: Finished trials before it is asked.
    """

    def __init__(self, seed: int, startup: int) -> None:
        super().__init__(seed, startup)
        self._folder = tempfile.TemporaryDirectory()
        self._smac: HyperparameterOptimizationFacade | None = None
        self._told: set[int] = set()

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return the parameters that SMAC proposes, or none while there are too few trials."""
        done = [t for t in study.get_trials(deepcopy=False) if t.state == TrialState.COMPLETE]
        if not search_space or len(done) < self.startup:
            return {}
        if self._smac is None:
            self._smac = self._facade(search_space, len(study.directions))
        space = self._smac.scenario.configspace
        for each in done:
            if each.number not in self._told:
                self._told.add(each.number)
                place = Configuration(space, values=_indices(each.params, search_space))
                value = TrialValue(cost=[float(v) for v in each.values], time=1.0)
                self._smac.tell(TrialInfo(place, seed=0), value, save=False)
        proposed = dict(self._smac.ask().config)
        return {
            name: distribution.choices[proposed[name]]
            if isinstance(distribution, CategoricalDistribution)
            else proposed[name]
            for name, distribution in search_space.items()
        }

    def _facade(
        self, search_space: dict[str, BaseDistribution], objectives: int
    ) -> HyperparameterOptimizationFacade:
        names = [f"value {at}" for at in range(objectives)]

        def measure(config: Configuration, seed: int = 0) -> dict[str, float]:
            raise NotImplementedError("it is asked and told, and never evaluates by itself")

        facade = HyperparameterOptimizationFacade
        scenario = Scenario(
            _space(search_space, self.seed),
            name=None,
            output_directory=self._folder.name,
            objectives=names,
            deterministic=True,
            n_trials=10_000,
            seed=self.seed,
        )
        return facade(
            scenario,
            measure,
            initial_design=facade.get_initial_design(scenario, n_configs=0),
            multi_objective_algorithm=ParEGO(scenario),
            config_selector=facade.get_config_selector(scenario, retrain_after=1),
            logging_level=False,
            overwrite=True,
        )


def _space(search_space: dict[str, BaseDistribution], seed: int) -> ConfigurationSpace:
    found = ConfigurationSpace(seed=seed)
    for name, each in search_space.items():
        if isinstance(each, CategoricalDistribution):
            found.add(Categorical(name, list(range(len(each.choices)))))
        elif isinstance(each, IntDistribution):
            found.add(Integer(name, (each.low, each.high)))
        else:
            assert isinstance(each, FloatDistribution)
            found.add(Float(name, (each.low, each.high), log=each.log))
    return found


def _indices(params: dict[str, Any], search_space: dict[str, BaseDistribution]) -> dict[str, Any]:
    """Return parameters for SMAC, with the places of categories instead of their values."""
    return {
        name: each.choices.index(params[name])
        if isinstance(each, CategoricalDistribution)
        else params[name]
        for name, each in search_space.items()
    }
