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
from paretune.search.propose.surrogates.gaussian_process import Hyperparameters

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
        measured = self._losses(study, complete) if complete else np.zeros((0, 2))
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
        whole = surrogate._start

        def smooth(features: int, most_noise: float) -> tuple[Hyperparameters, Array]:
            start, bounds = whole(features, most_noise)
            bounds[0] = np.log([_NOTHING, 1.01 * _NOTHING])
            return replace(start, linear=_NOTHING), bounds

        with mock.patch.object(surrogate, "_start", smooth):
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
    "tight-reference": TightReference,
}
"""By the name of what is missing."""
