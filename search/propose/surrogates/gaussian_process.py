"""A Gaussian process with a linear part, a smooth part and noise, quick for some hundred points."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_JITTER = 1e-8
"""Added to each value's variance, relative to that of all values, so that equal points are no
trouble.
"""

_ROOT_5 = 5.0**0.5
"""The factor of distances in a Matérn-5/2 kernel."""


@dataclass(frozen=True)
class Hyperparameters:
    """What a marginal likelihood is maximized over.

    The kernel is ``linear * (offset² + x·y) + smooth * Matérn-5/2(x, y; lengths)``.

    Attributes:
        linear: Weight of the linear part.
        offset: Its value at the origin.
        smooth: Variance of the smooth part.
        noise: Variance of the noise, as a share of the variance of the values.
        lengths: Length scale per feature: shape (features,).
    """

    linear: float
    offset: float
    smooth: float
    noise: float
    lengths: Array

    @classmethod
    def from_logarithms(cls, theta: Array) -> Hyperparameters:
        """Undo :attr:`logarithms`."""
        each = np.exp(theta)
        linear, offset, smooth, noise = map(float, each[:4])
        return cls(linear, offset, smooth, noise, each[4:])

    @property
    def logarithms(self) -> Array:
        """The logarithms in the order of the attributes: shape (4 + features,)."""
        return np.log([self.linear, self.offset, self.smooth, self.noise, *self.lengths])


@dataclass(frozen=True)
class Prior:
    """What is thought of hyperparameters before any data: normal logarithms, within bounds.

    Attributes:
        start: Where the likeliest hyperparameters are searched from.
        bounds: Least and largest logarithms: shape (4 + features, 2).
        means: Means of the logarithms: (4 + features,).
        deviations: Their standard deviations, infinite where nothing is thought: (4 + features,).
    """

    start: Hyperparameters
    bounds: Array
    means: Array
    deviations: Array

    @property
    def flat(self) -> Prior:
        """The same bounds, within which all are equally likely beforehand."""
        return replace(self, deviations=np.full(len(self.deviations), np.inf))

    def penalty(self, theta: Array, places: NDArray[np.int64]) -> tuple[float, Array]:
        """Return the negative logarithmic density, but for a constant, and its derivatives.

        Args:
            theta: Some of the logarithms: (logarithms,).
            places: Where these are among all: (logarithms,).
        """
        deviations = self.deviations[places]
        distance = (theta - self.means[places]) / deviations
        return 0.5 * float(distance @ distance), distance / deviations


class GaussianProcess:
    """What is known of a function from values at points.

    Values are scaled to a mean of 0 and a variance of 1.

    Args:
        of: The hyperparameters.
        points: Shape (points, features), at least one.
        values: Shape (points,).
        variances: Of each value's own error, on the scale of the values: (points,).
    """

    def __init__(
        self, of: Hyperparameters, points: Array, values: Array, variances: Array | None = None
    ) -> None:
        from scipy.linalg import solve_triangular

        self.of, self.points = of, points
        self._center, self._scale, scaled, own = _scaled(values, variances)
        covariance = covariances(of, points, points)
        covariance[np.diag_indices(len(points))] += own + of.noise
        root = np.linalg.cholesky(covariance)
        self._inverse = solve_triangular(root, np.eye(len(points)), lower=True, check_finite=False)
        self._weights = self._inverse.T @ (self._inverse @ scaled)

    def predict(self, points: Array) -> tuple[Array, Array]:
        """Return means and standard deviations, the noise included: each of shape (points,)."""
        of = self.of
        cross = covariances(of, points, self.points)
        known = cross @ self._inverse.T
        prior = of.linear * (of.offset**2 + (points**2).sum(axis=1)) + of.smooth + of.noise
        left = np.maximum(prior - np.einsum("pi,pi->p", known, known), 0.0)
        return self._center + self._scale * (cross @ self._weights), self._scale * np.sqrt(left)


def fitted(
    prior: Prior,
    points: Array,
    values: Array,
    variances: Array | None = None,
    *,
    start: Hyperparameters | None = None,
    shared: NDArray[np.int64] | None = None,
) -> Hyperparameters:
    """Return the likeliest hyperparameters, given data, that are found from a start.

    By L-BFGS-B with exact derivatives (Rasmussen and Williams, "Gaussian Processes for Machine
    Learning", 2006, section 5.4.1).

    Args:
        prior: What is thought of them beforehand.
        points: Shape (points, features).
        values: Shape (points,).
        variances: Of each value's own error: (points,).
        start: Where the search begins, if not where the prior says.
        shared: The number of each feature's length scale, from 0: features with one number share
            one. By default each has its own. Shape (features,).
    """
    from scipy.optimize import minimize

    _, _, scaled, own = _scaled(values, variances)
    lengths = np.arange(points.shape[1]) if shared is None else shared
    # Where each hyperparameter is among those that are searched for, and where each of these is.
    places = np.concatenate([np.arange(4), 4 + lengths])
    _, firsts = np.unique(places, return_index=True)

    def loss(searched: Array) -> tuple[float, Array]:
        theta = searched[places]
        likelihood, slope = _negative_log_likelihood(theta, points, scaled, own)
        penalty, push = prior.penalty(searched, firsts)
        return likelihood + penalty, np.bincount(places, weights=slope) + push

    begin = np.clip((start or prior.start).logarithms, *prior.bounds.T)
    found = minimize(loss, begin[firsts], jac=True, method="L-BFGS-B", bounds=prior.bounds[firsts])
    return Hyperparameters.from_logarithms(found.x[places])


def _scaled(values: Array, variances: Array | None) -> tuple[float, float, Array, Array]:
    """Return center and scale of values, the values scaled, and their own variances scaled."""
    center, scale = float(values.mean()), float(values.std())
    scale = scale if scale > 0 else 1.0
    own = np.full(len(values), _JITTER)
    if variances is not None:
        own = own + variances / scale**2
    return center, scale, (values - center) / scale, own


def covariances(of: Hyperparameters, points: Array, others: Array) -> Array:
    """Return prior covariances between points, without noise: shape (points, others)."""
    distance = _distances(of, points, others)
    covariance = of.smooth * _matern(distance)
    covariance += of.linear * (points @ others.T)
    covariance += of.linear * of.offset**2
    return covariance


def _distances(of: Hyperparameters, points: Array, others: Array) -> Array:
    """Return distances in length scales, times the root of five: shape (points, others)."""
    first, second = points * (_ROOT_5 / of.lengths), others * (_ROOT_5 / of.lengths)
    squares = (-2.0 * first) @ second.T
    squares += (first**2).sum(axis=1)[:, None]
    squares += (second**2).sum(axis=1)
    np.maximum(squares, 0.0, out=squares)
    return np.asarray(np.sqrt(squares, out=squares), dtype=np.float64)


def _matern(distance: Array) -> Array:
    """Return the Matérn-5/2 correlation at distances times the root of five."""
    result = distance * (1.0 / 3.0)
    result += 1.0
    result *= distance
    result += 1.0
    result *= np.exp(-distance)
    return result


def _negative_log_likelihood(
    theta: Array, points: Array, scaled: Array, own: Array
) -> tuple[float, Array]:
    """Return the negative logarithmic marginal likelihood and its derivatives by ``theta``."""
    from scipy.linalg import lapack

    of, count = Hyperparameters.from_logarithms(theta), len(points)
    distance = _distances(of, points, points)
    decay = np.exp(-distance)
    smooth = of.smooth * decay * (1.0 + distance + distance**2 / 3.0)
    linear = of.linear * (points @ points.T + of.offset**2)
    covariance = linear + smooth
    covariance[np.diag_indices(count)] += own + of.noise
    root, failed = lapack.dpotrf(covariance, lower=1, overwrite_a=0)
    if failed:
        return 1e25, np.zeros_like(theta)
    inverse, _ = lapack.dpotri(root, lower=1, overwrite_c=0)
    inverse = np.tril(inverse)
    inverse += np.tril(inverse, -1).T
    weights = inverse @ scaled
    likelihood = -0.5 * scaled @ weights - np.log(np.diag(root)).sum()
    likelihood -= 0.5 * count * np.log(2.0 * np.pi)
    # Half the trace of (weights weights' - inverse) times the kernel's derivative.
    outer = np.outer(weights, weights) - inverse
    slope = outer * (of.smooth / 3.0 * decay * (1.0 + distance))
    near = points * (_ROOT_5 / of.lengths)
    by_length = slope.sum(axis=1) @ near**2 - np.einsum("pi,pi->i", near, slope @ near)
    gradient = np.concatenate(
        [
            [
                0.5 * (outer * linear).sum(),
                of.linear * of.offset**2 * outer.sum(),
                0.5 * (outer * smooth).sum(),
                0.5 * of.noise * np.trace(outer),
            ],
            by_length,
        ]
    )
    return -float(likelihood), -gradient
