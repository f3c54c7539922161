"""BoTorch's qLogNEHVI as a sampler of Optuna: mixed kernel, observed noise, mixed optimizer."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch
from botorch.acquisition.multi_objective.logei import (
    qLogNoisyExpectedHypervolumeImprovement,
)
from botorch.fit import fit_gpytorch_mll
from botorch.models import MixedSingleTaskGP, ModelListGP, SingleTaskGP
from botorch.models.transforms import Standardize
from botorch.optim import optimize_acqf_mixed_alternating
from botorch.sampling import SobolQMCNormalSampler
from botorch.utils.multi_objective.hypervolume import infer_reference_point
from botorch.utils.multi_objective.pareto import is_non_dominated
from gpytorch.mlls import SumMarginalLogLikelihood
from library_sampler import LibrarySampler
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from paretune.search.propose.parameter_space import ParameterSpace

RESTARTS, RAW_SAMPLES, DRAWS = 4, 256, 64
"""Effort of the optimizer, and draws from the posterior: less than the defaults (20, 1,024, 128),
which take too long for a table. How this acts on its result is untested.
"""


class NoisyImprovement(LibrarySampler):
    """Proposes the point with the largest logarithmic noisy expected hypervolume improvement.

    Where BoTorch cannot optimize that, the point is random.

    Args:
        seed: Of the draws.
        startup: Finished trials before the models are asked.
        deviations: User attribute with the standard deviations of a trial's values.
    """

    def __init__(self, seed: int, startup: int, deviations: str) -> None:
        super().__init__(seed, startup)
        self.deviations = deviations

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return the parameters of the best point, or none while there are too few trials."""
        trials = study.get_trials(deepcopy=False)
        done = [t for t in trials if t.state == TrialState.COMPLETE]
        if not search_space or len(done) < self.startup:
            return {}
        torch.manual_seed(self.seed * 10_007 + len(done))
        space = ParameterSpace(search_space)
        # A position within [0, 1] per ordered parameter, an index per category.
        kinds = [isinstance(each, CategoricalDistribution) for each in search_space.values()]
        spans = np.array(
            [1.0 if k or not c else max(c - 1, 1) for k, c in zip(kinds, space.counts, strict=True)]
        )
        rows = torch.tensor(np.array([space.row(t.params) for t in done]) / spans)
        losses = torch.tensor([t.values for t in done], dtype=torch.double)
        running = [t for t in trials if t.state == TrialState.RUNNING and t.number != trial.number]
        pending = [space.row(t.params) for t in running if t.params.keys() == search_space.keys()]
        columns = [at for at, kind in enumerate(kinds) if kind]
        told = [t.user_attrs.get(self.deviations) for t in done]
        noise = None if None in told else torch.tensor(told, dtype=torch.double) ** 2
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = _model(rows, -losses, noise, columns)
            front = -losses[is_non_dominated(-losses)]
            acquisition = qLogNoisyExpectedHypervolumeImprovement(
                model=model,
                ref_point=infer_reference_point(front),
                X_baseline=rows,
                X_pending=torch.tensor(np.array(pending) / spans) if pending else None,
                prune_baseline=True,
                sampler=SobolQMCNormalSampler(torch.Size([DRAWS]), seed=self.seed),
            )
            places = {
                at: [i / spans[at] for i in range(count)]
                for at, count in enumerate(space.counts)
                if count
            }
            ends = [float(c - 1) if k else 1.0 for k, c in zip(kinds, space.counts, strict=True)]
            try:
                best, _ = optimize_acqf_mixed_alternating(
                    acquisition,
                    bounds=torch.tensor([[0.0] * len(ends), ends], dtype=torch.double),
                    discrete_dims={at: v for at, v in places.items() if not kinds[at]},
                    cat_dims={at: v for at, v in places.items() if kinds[at]},
                    q=1,
                    raw_samples=RAW_SAMPLES,
                    num_restarts=RESTARTS,
                    options={"maxiter_alternating": 8},
                )
            except RuntimeError:  # Its acquisition is not a number on some data.
                return {}
        row = best[0].detach().numpy() * spans
        return space.params(row)


def _model(points: Any, values: Any, noise: Any, columns: list[int]) -> Any:
    """Return one fitted Gaussian process per objective."""
    models = []
    for at in range(values.shape[1]):
        known = values[:, at : at + 1]
        own = None
        if noise is not None:
            # Three launches can agree by chance: none counts as exact.
            own = noise[:, at : at + 1].clamp_min(1e-6 * float(known.var()))
        if columns:
            models.append(
                MixedSingleTaskGP(points, known, columns, own, outcome_transform=Standardize(m=1))
            )
        else:
            models.append(SingleTaskGP(points, known, own, outcome_transform=Standardize(m=1)))
    model = ModelListGP(*models)
    fit_gpytorch_mll(SumMarginalLogLikelihood(model.likelihood, model))
    return model
