"""Our sampler with one part taken out, or put back to what is usual."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any
from unittest import mock

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.study import Study
from optuna.trial import FrozenTrial
from table_problem import Array

from paretune import FrontierSampler
from paretune.search.propose import frontier_sampler
from paretune.search.propose.acquisition import Outlook
from paretune.search.propose.parameter_space import ParameterSpace
from paretune.search.propose.surrogates import surrogate
from paretune.search.propose.surrogates.gaussian_process import Prior

Plain = FrontierSampler

_NOTHING = 1e-9
"""Weight of a part that is taken out."""


class NoPending(FrontierSampler):
    """Trials that run are unknown to it (matters with `--workers` above 1 only)."""

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Ask as if nothing ran."""
        kept = study.get_trials

        def finished(deepcopy: bool = True, states: Any = None) -> list[FrozenTrial]:
            return [t for t in kept(deepcopy, states) if t.state.is_finished()]

        with mock.patch.object(study, "get_trials", finished):
            return super().sample_relative(study, trial, search_space)


class LuckyFront(FrontierSampler):
    """Improves on the frontier as measured, not on the one the models believe in."""

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Put the measured losses in place of the believed ones."""
        complete = [t for t in study.get_trials(deepcopy=False) if t.values is not None]
        measured = self._values.losses(study.directions, complete) if complete else np.zeros((0, 2))
        best = Outlook.best

        def improved(
            outlook: Outlook, front: Array, reference: Array, draws: Array
        ) -> Iterator[int]:
            return best(outlook, measured, reference, draws)

        with mock.patch.object(Outlook, "best", improved):
            return super().sample_relative(study, trial, search_space)


class NoNeighbours(FrontierSampler):
    """Scores random points only."""

    def _pool(
        self, space: ParameterSpace, taken: Sequence[Sequence[float]], front: Sequence[Any]
    ) -> Array:
        return super()._pool(space, taken, [])


class NoLinearPart(FrontierSampler):
    """Its Gaussian processes have the smooth part only."""

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Hold the weight of the linear part at next to nothing."""
        usual = surrogate.usual_prior

        def smooth(features: int) -> Prior:
            prior = usual(features)
            bounds = prior.bounds.copy()
            bounds[0] = np.log([_NOTHING, 1.01 * _NOTHING])
            return replace(prior, start=replace(prior.start, linear=_NOTHING), bounds=bounds)

        with mock.patch.object(surrogate, "usual_prior", smooth):
            return super().sample_relative(study, trial, search_space)


class NoPrior(FrontierSampler):
    """Any hyperparameters within their bounds are equally likely beforehand."""

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Make the priors flat."""
        usual = surrogate.usual_prior

        def flat(features: int) -> Prior:
            return usual(features).flat

        with mock.patch.object(surrogate, "usual_prior", flat):
            return super().sample_relative(study, trial, search_space)


class OwnLengths(FrontierSampler):
    """Each category has a length scale of its own."""

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Let no features share one."""
        shared = ParameterSpace.parameter_of_feature.func
        apart = property(lambda space: np.arange(len(shared(space))))
        with mock.patch.object(ParameterSpace, "parameter_of_feature", apart):
            return super().sample_relative(study, trial, search_space)


class TightReference(FrontierSampler):
    """Measures improvements from just beyond the frontier, however small it is."""

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Take the quantile of all trials out of the reference point."""
        with mock.patch.object(frontier_sampler, "_USUAL", 0.0):
            return super().sample_relative(study, trial, search_space)


ABLATIONS: dict[str, type[FrontierSampler]] = {
    "no-pending": NoPending,
    "lucky-front": LuckyFront,
    "no-neighbours": NoNeighbours,
    "no-linear-part": NoLinearPart,
    "no-prior": NoPrior,
    "own-lengths": OwnLengths,
    "tight-reference": TightReference,
}
"""By the name of what is missing."""
