"""The Gaussian process: scikit-learn's, computed faster."""

import warnings

import numpy as np
import pytest
from scipy.optimize import approx_fprime
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, DotProduct, Kernel, Matern, WhiteKernel

from paretune.search.propose.surrogates.gaussian_process import (
    GaussianProcess,
    Hyperparameters,
    Prior,
    _negative_log_likelihood,
    fitted,
)
from paretune.search.propose.surrogates.surrogate import usual_prior

Array = np.ndarray
FEATURES = 4


def flat(features: int) -> Prior:
    return usual_prior(features).flat


@pytest.fixture
def data() -> tuple[Array, Array, Array]:
    """Points, values and the variances of the values."""
    rng = np.random.default_rng(0)
    points = rng.random((40, FEATURES))
    values = np.sin(4 * points[:, 0]) * points[:, 1] + points[:, 2] + 0.1 * rng.normal(size=40)
    return points, 7.0 * values + 100.0, rng.uniform(0.0, 0.5, 40)


def kernel(features: int) -> Kernel:
    """Return the same kernel with the same bounds, as scikit-learn has it."""
    linear = ConstantKernel(1.0, (1e-3, 1e3)) * DotProduct(1.0, (1e-2, 1e2))
    smooth = ConstantKernel(0.5, (1e-3, 1e2)) * Matern(np.ones(features), (0.1, 20.0), nu=2.5)
    return linear + smooth + WhiteKernel(1e-3, (1e-4, 1e-1))


def reference(points: Array, values: Array, variances: Array) -> GaussianProcessRegressor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of hyperparameters at their bounds
        own = 1e-8 + variances / values.var()
        model = GaussianProcessRegressor(kernel(FEATURES), alpha=own, normalize_y=True)
        return model.fit(points, values)


def hyperparameters(model: GaussianProcessRegressor) -> Hyperparameters:
    """Return those of a model: scikit-learn orders them otherwise."""
    theta = model.kernel_.theta
    return Hyperparameters.from_logarithms(np.array([*theta[:3], theta[-1], *theta[3:-1]]))


def test_predictions_are_those_of_the_reference(data: tuple[Array, Array, Array]) -> None:
    model = reference(*data)
    ours = GaussianProcess(hyperparameters(model), *data)
    asked = np.random.default_rng(1).random((30, FEATURES))
    means, deviations = model.predict(asked, return_std=True)
    found = ours.predict(asked)
    np.testing.assert_allclose(found[0], means, rtol=1e-9)
    np.testing.assert_allclose(found[1], deviations, rtol=1e-7)


def test_hyperparameters_are_as_likely_as_those_of_the_reference(
    data: tuple[Array, Array, Array],
) -> None:
    model = reference(*data)
    points, values, variances = data
    found = fitted(flat(FEATURES), *data)
    scaled = (values - values.mean()) / values.std()
    own = 1e-8 + variances / values.var()
    loss, _ = _negative_log_likelihood(found.logarithms, points, scaled, own)
    assert -loss == pytest.approx(model.log_marginal_likelihood_value_, abs=1e-3)


def test_the_derivatives_are_those_of_the_likelihood(data: tuple[Array, Array, Array]) -> None:
    points, values, variances = data
    scaled = (values - values.mean()) / values.std()
    own = 1e-8 + variances / values.var()
    for seed in range(5):
        theta = np.random.default_rng(seed).normal(-0.5, 0.7, 4 + FEATURES)
        _, slopes = _negative_log_likelihood(theta, points, scaled, own)
        numeric = approx_fprime(
            theta, lambda at: _negative_log_likelihood(at, points, scaled, own)[0], 1e-6
        )
        np.testing.assert_allclose(slopes, numeric, rtol=1e-3, atol=1e-3)


def test_a_prior_decides_where_data_say_nothing(data: tuple[Array, Array, Array]) -> None:
    points, values, _ = data
    points = np.column_stack([points, np.zeros(len(points))])  # a feature that never changes
    found = fitted(usual_prior(FEATURES + 1), points, values)
    assert np.log(found.lengths[-1]) == pytest.approx(usual_prior(FEATURES + 1).means[-1], abs=1e-3)


def test_the_derivatives_of_a_prior_are_those_of_its_density() -> None:
    prior = usual_prior(2)
    places = np.array([0, 4, 5])
    theta = np.array([0.3, -2.0, 1.0])
    _, slopes = prior.penalty(theta, places)
    numeric = approx_fprime(theta, lambda at: prior.penalty(at, places)[0], 1e-6)
    np.testing.assert_allclose(slopes, numeric, rtol=1e-3, atol=1e-3)


def test_features_can_share_a_length_scale(data: tuple[Array, Array, Array]) -> None:
    shared = fitted(usual_prior(FEATURES), *data, shared=np.array([0, 1, 1, 2])).lengths
    assert shared[1] == shared[2] and len(set(shared)) == 3
    # Features that share nothing are fitted as always.
    apart = fitted(usual_prior(FEATURES), *data, shared=np.arange(FEATURES))
    np.testing.assert_array_equal(apart.lengths, fitted(usual_prior(FEATURES), *data).lengths)


def test_equal_points_and_equal_values_are_no_trouble() -> None:
    points, values = np.zeros((5, 2)), np.full(5, 3.0)
    found = GaussianProcess(fitted(usual_prior(2), points, values), points, values)
    means, deviations = found.predict(np.array([[0.0, 0.0], [1.0, 1.0]]))
    assert means == pytest.approx([3.0, 3.0], abs=1e-6)
    assert np.isfinite(deviations).all() and deviations[1] >= deviations[0]
