"""Surrogates: predictions of a metric for candidates that were not measured yet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from paretune.search.propose.surrogates.gaussian_process import (
    GaussianProcess,
    Hyperparameters,
    fitted,
)
from paretune.spaces import Axis, Candidate
from paretune.spaces.axes import Value

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

_LENGTHS = (0.5, 5.0)
"""Bounds of a length scale, where each feature spans 1: no metric jumps between neighbouring
values, and none is flat for good. Evidence: with these, with sizes as a feature, with the doubts of
`model_doubt.py` and with the first runs of new trainings, 0.82 of the best hypervolume after 25
trials instead of 0.72 (`samplers.py`, 10 seeds); each alone is untested.
"""

_LEAST_NOISE, _MOST_NOISE = 1e-4, 1e-1
"""Bounds of the variance of noise, as shares of the variance of the values: no metric is exact, and
none is mostly noise. Chosen by judgement.
"""

_BESIDE_SIZE = 0.3
"""Weight of a student's name beside its size, which tells most of what a name does. Evidence: see
``_LENGTHS``.
"""


def encode(
    candidates: Sequence[Candidate], axes: Sequence[Axis], sizes: Mapping[str, float] | None = None
) -> Array:
    """Return candidates as points: shape (candidates, features), each feature within [0, 1].

    Counts (batch size, threads) are encoded by their logarithms, ratios by their values; each name
    becomes one feature.

    Args:
        candidates: The candidates to encode.
        axes: The axes to encode, in order.
        sizes: A value that grows with a student's size, by student; another feature, if given.
    """
    params = [candidate.params for candidate in candidates]
    columns = [
        each
        for axis in axes
        for each in features_of([values[axis.name] for values in params], axis, sizes)
    ]
    return np.column_stack(columns) if columns else np.zeros((len(candidates), 1))


def features_of(
    values: Sequence[Value], axis: Axis, sizes: Mapping[str, float] | None = None
) -> list[Array]:
    """Return the features of values of one axis, each of shape (values,); see :func:`encode`."""
    columns: list[Array] = []
    apart = 1.0
    if axis.name == "student" and sizes and all(name in sizes for name in axis.values):
        ends = [float(np.log(end(sizes.values()))) for end in (min, max)]
        spread = max(ends[1] - ends[0], 1e-9)
        columns.append(np.array([(np.log(sizes[str(v)]) - ends[0]) / spread for v in values]))
        apart = _BESIDE_SIZE
    if axis.is_ordered and axis.values != (0.0,):
        ends = [_position(axis.values[0]), _position(axis.values[-1])]
        spread = max(ends[1] - ends[0], 1e-9)
        columns.append(np.array([(_position(v) - ends[0]) / spread for v in values]))
    elif not axis.is_ordered and len(axis.values) > 1:
        columns += [np.array([apart * (v == name) for v in values]) for name in axis.values]
    return columns


def _position(value: str | float) -> float:
    return float(np.log2(value)) if isinstance(value, int) else float(value)


class Surrogate:
    """A Gaussian process over encoded candidates: a linear part plus a smooth part.

    The logarithm of a latency is nearly a sum over the axes, which the linear part learns from few
    points (Rasmussen and Williams, "Gaussian Processes for Machine Learning", 2006, section 2.7).
    Hyperparameters maximize the marginal likelihood; they are fitted again whenever the data have
    grown by three tenths.
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
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
                points, values, variances, start=self._hyperparameters, seed=self.seed
            )
            self._fitted_on = len(points)
        self._process = GaussianProcess(self._hyperparameters, points, values, variances)

    def predict(self, points: Array) -> tuple[Array, Array]:
        """Return means and standard deviations, each of shape (points,)."""
        assert self._process is not None
        return self._process.predict(points)


def likeliest(
    points: Array,
    values: Array,
    variances: Array | None = None,
    *,
    start: Hyperparameters | None = None,
    most_noise: float = _MOST_NOISE,
    seed: int = 0,
) -> Hyperparameters:
    """Return the likeliest hyperparameters for values at points, by a random part of many.

    Args:
        points: Shape (points, features), each feature within [0, 1].
        values: Shape (points,).
        variances: Of each value's own error: (points,).
        start: Where they are searched from.
        most_noise: Maximum variance of the noise, as a share of the variance of the values.
        seed: Of the choice among many points.
    """
    most = _FITTED_ON if start else _FIRST_FITTED_ON
    rows = np.random.default_rng(seed).permutation(len(points))[:most]
    usual, bounds = _start(points.shape[1], most_noise)
    own = None if variances is None else variances[rows]
    return fitted(start or usual, bounds, points[rows], values[rows], own)


def _start(features: int, most_noise: float = _MOST_NOISE) -> tuple[Hyperparameters, Array]:
    """Return where hyperparameters are searched from, and the bounds of their logarithms."""
    # A knob that seems to change nothing where it was tried may still matter elsewhere.
    start = Hyperparameters(1.0, 1.0, 0.5, 1e-3, np.ones(features))
    ends = [(1e-3, 1e3), (1e-2, 1e2), (1e-3, 1e2), (_LEAST_NOISE, most_noise)]
    return start, np.log([*ends, *[_LENGTHS] * features])
