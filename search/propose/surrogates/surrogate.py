"""Surrogates: predictions of a metric for candidates that were not measured yet."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from paretune.search.propose.surrogates.gaussian_process import (
    GaussianProcess,
    Hyperparameters,
    Prior,
    fitted,
)

Array = NDArray[np.float64]

_REFIT_GROWTH = 1.3
"""Growth of the data after which hyperparameters are fitted again, as they take most of the time.
Chosen by judgement.
"""

_FITTED_ON = 250
"""Points that hyperparameters are fitted on: the time grows with the third power. Chosen by
judgement.
"""

_FIRST_FITTED_ON = 120
"""The same where nothing was fitted before and so many steps are needed, as when a long study goes
on. Evidence: at 1,000 simulated trials the first proposal of a resumed study took 1.1 to 2.2 s
instead of 6.4 to 7.4; how it acts on the frontier is untested.
"""

_LENGTHS = (0.1, 20.0)
"""Bounds of a length scale, where each feature spans 1."""

_LENGTH, _LENGTH_DEVIATION = 0.25, 1.0
"""Mean of the logarithm of a length scale, per logarithm of the number of features, and its
deviation: the more features there are, the less each of them does alone (Hvarfner, Hellsten and
Nardi, "Vanilla Bayesian Optimization Performs Great in High Dimensions", 2024). Evidence: with this
and one length scale for all names of an axis, instead of bounds of 0.5 and 5 alone, 0.82 of the
best hypervolume after 25 trials instead of 0.76 (`samplers.py`, 30 seeds, 24 of them better). A
prior of the noise, too, was tried and left out: `nights.py` found less per hour.
"""

_NOISES = (1e-4, 1e-1)
"""Bounds of the variance of noise, as shares of the variance of the values: no metric is exact, and
none is mostly noise. Chosen by judgement.
"""


class Surrogate:
    """A Gaussian process over encoded candidates: a linear part plus a smooth part.

    The logarithm of a latency is nearly a sum over the axes, which the linear part learns from few
    points (Rasmussen and Williams, "Gaussian Processes for Machine Learning", 2006, section 2.7).
    Hyperparameters maximize the marginal likelihood; they are fitted again whenever the data have
    grown by three tenths.

    Args:
        seed: Of the choice of points that hyperparameters are fitted on.
        shared: The number of each feature's length scale, from 0, so that the features of one
            category have one together: (features,). By default each feature has its own.
    """

    def __init__(self, seed: int = 0, shared: NDArray[np.int64] | None = None) -> None:
        self.seed = seed
        self.shared = shared
        self._hyperparameters: Hyperparameters | None = None
        self._fitted_on = 0
        self._process: GaussianProcess | None = None

    def fit(self, points: Array, values: Array, variances: Array | None = None) -> None:
        """Learn values at points.

        Args:
            points: Shape (points, features).
            values: Shape (points,).
            variances: The variance of each value's own error, beside the noise that all share:
                shape (points,).
        """
        if self._hyperparameters is None or len(points) >= _REFIT_GROWTH * self._fitted_on:
            self._hyperparameters = likeliest(
                usual_prior(points.shape[1]),
                points,
                values,
                variances,
                start=self._hyperparameters,
                shared=self.shared,
                seed=self.seed,
            )
            self._fitted_on = len(points)
        self._process = GaussianProcess(self._hyperparameters, points, values, variances)

    def predict(self, points: Array) -> tuple[Array, Array]:
        """Return means and standard deviations, each of shape (points,)."""
        assert self._process is not None
        return self._process.predict(points)


def likeliest(
    prior: Prior,
    points: Array,
    values: Array,
    variances: Array | None = None,
    *,
    start: Hyperparameters | None = None,
    shared: NDArray[np.int64] | None = None,
    seed: int = 0,
) -> Hyperparameters:
    """Return the likeliest hyperparameters for values at points, by a random part of many.

    Args:
        prior: What is thought of them beforehand.
        points: Shape (points, features), each feature within [0, 1].
        values: Shape (points,).
        variances: Of each value's own error: (points,).
        start: Where they are searched from, if not where the prior says.
        shared: The number of each feature's length scale: (features,).
        seed: Of the choice among many points.
    """
    most = _FITTED_ON if start else _FIRST_FITTED_ON
    rows = np.random.default_rng(seed).permutation(len(points))[:most]
    own = None if variances is None else variances[rows]
    return fitted(prior, points[rows], values[rows], own, start=start, shared=shared)


def usual_prior(features: int) -> Prior:
    """Return what is thought of the hyperparameters of a metric's surrogate beforehand."""
    # A knob that seems to change nothing where it was tried may still matter elsewhere.
    start = Hyperparameters(1.0, 1.0, 0.5, 1e-3, np.ones(features))
    bounds = [(1e-3, 1e3), (1e-2, 1e2), (1e-3, 1e2), _NOISES, *[_LENGTHS] * features]
    mean = _LENGTH * np.log(features)
    thought = [*[(0.0, np.inf)] * 4, *[(mean, _LENGTH_DEVIATION)] * features]
    means, deviations = np.array(thought).T
    return Prior(start, np.log(bounds), means, deviations)
