"""Surrogates: candidates as points, and a Gaussian process's predictions between them."""

from collections.abc import Callable

import numpy as np
import pytest
from conftest import SMALL_SPACE

from paretune.search.propose.surrogates.encoding import Encoding
from paretune.search.propose.surrogates.learning_set import MOST_LEARNED, learning_set
from paretune.search.propose.surrogates.surrogate import Surrogate
from paretune.spaces import Candidate, SearchSpace

LARGE = {
    **SMALL_SPACE,
    "pruning_ratio": [0.0, 0.25, 0.75],
    "batch_size": [1, 2, 4, 8, 16, 32],
    "intra_op_threads": [1, 2, 4],
}


@pytest.fixture
def large() -> SearchSpace:
    return SearchSpace.from_values(LARGE)


def column(space: SearchSpace, axis: str) -> list[float]:
    """Return the feature of an ordered axis, for each of its values."""
    values = space.axis(axis).values
    pool = [Candidate.from_params({**space.baseline.params, axis: value}) for value in values]
    points = Encoding([space.axis(axis)]).points(pool)
    assert points.shape == (len(values), 1)
    return [float(value) for value in points[:, 0]]


def test_counts_are_spaced_by_ratios_and_shares_by_size(large: SearchSpace) -> None:
    assert column(large, "batch_size") == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1])
    assert column(large, "intra_op_threads") == pytest.approx([0, 0.5, 1])
    assert column(large, "pruning_ratio") == pytest.approx([0, 1 / 3, 1])


def test_each_name_is_a_feature_and_an_axis_of_one_name_is_none(large: SearchSpace) -> None:
    schemes = large.axis("quantization")
    pool = [
        Candidate.from_params({**large.baseline.params, "quantization": value})
        for value in schemes.values
    ]
    assert Encoding([schemes]).points(pool).tolist() == np.eye(4).tolist()
    points = Encoding([large.axis("execution_provider")]).points(pool)
    assert points.tolist() == [[0.0]] * 4  # something to fit, but nothing to tell them apart


def test_all_candidates_differ_within_the_unit_cube(large: SearchSpace) -> None:
    pool = list(large.candidates())
    points = Encoding(large.axes).points(pool)
    assert points.min() == 0 and points.max() == 1
    assert len(np.unique(points, axis=0)) == len(pool)


def test_students_are_near_by_their_size_if_it_is_known_of_all() -> None:
    names = ["reference", "half", "tiny"]
    space = SearchSpace.from_values(SMALL_SPACE | {"student": names})
    axis = space.axis("student")
    pool = [Candidate.from_params({**space.baseline.params, "student": name}) for name in names]
    sizes = {"reference": 1e6, "half": 1e5, "tiny": 1e2}
    points = Encoding([axis], sizes).points(pool)
    assert points[:, 0] == pytest.approx([1.0, 0.75, 0.0])
    distance = np.linalg.norm(points[:, None] - points[None], axis=-1)
    assert distance[0, 1] < distance[0, 2]
    unknown = Encoding([axis], {"reference": 1e6}).points(pool)
    assert unknown.tolist() == np.eye(3).tolist()


def test_the_names_of_an_axis_share_a_length_scale(large: SearchSpace) -> None:
    axes = [large.axis(name) for name in ("pruning_ratio", "quantization", "batch_size")]
    assert Encoding(axes).shared.tolist() == [0, 1, 1, 1, 1, 2]
    assert Encoding([large.axis("execution_provider")]).shared.tolist() == [0]
    names = ("reference", "half")
    student = SearchSpace.from_values(SMALL_SPACE | {"student": names}).axis("student")
    assert Encoding([student], {"reference": 9.0, "half": 4.0}).shared.tolist() == [0, 1, 1]


def test_an_axis_is_found_among_all(large: SearchSpace) -> None:
    whole = Encoding(large.axes)
    points = whole.points(list(large.candidates()))
    for axis in (large.axis("quantization"), large.axis("batch_size")):
        expected = Encoding([axis]).points(list(large.candidates()))
        np.testing.assert_array_equal(points[:, whole.places([axis])], expected)


def log_latency(points: np.ndarray) -> np.ndarray:
    return np.asarray(points @ np.arange(1, points.shape[1] + 1) / 3)


def product(points: np.ndarray) -> np.ndarray:
    return np.asarray(np.sin(3 * points[:, 0]) * points[:, 1])


@pytest.mark.parametrize(("truth", "count"), [(log_latency, 12), (product, 40)])
def test_it_learns_sums_from_few_points_and_the_rest_from_more(
    rng: np.random.Generator, truth: Callable[[np.ndarray], np.ndarray], count: int
) -> None:
    known, unknown = rng.random((count, 3)), rng.random((200, 3))
    surrogate = Surrogate()
    surrogate.fit(known, truth(known))
    means, deviations = surrogate.predict(unknown)
    assert means.shape == deviations.shape == (200,)
    errors = np.abs(means - truth(unknown))
    assert np.sqrt(np.mean(errors**2)) < 0.15 * truth(unknown).std()
    assert (errors < 3 * deviations + 1e-6).mean() > 0.9


def test_it_is_less_sure_far_from_what_was_measured(rng: np.random.Generator) -> None:
    known = rng.random((30, 2)) * 0.3
    surrogate = Surrogate()
    surrogate.fit(known, product(known))
    _, (near, far) = surrogate.predict(np.array([[0.15, 0.15], [1.0, 1.0]]))
    assert far > 2 * near


def test_hyperparameters_are_kept_until_the_data_have_grown(rng: np.random.Generator) -> None:
    points = rng.random((40, 2))
    surrogate = Surrogate()
    surrogate.fit(points[:20], product(points[:20]))
    first = surrogate._hyperparameters
    surrogate.fit(points[:22], product(points[:22]))
    assert surrogate._hyperparameters is first
    # The new points count at once all the same.
    means, _ = surrogate.predict(points[20:22])
    assert means == pytest.approx(product(points[20:22]), abs=0.05)
    surrogate.fit(points, product(points))
    assert surrogate._hyperparameters is not first


def test_one_seed_gives_one_model(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Hyperparameters are sought on some of many points, which are drawn.
    monkeypatch.setattr("paretune.search.propose.surrogates.surrogate._FITTED_ON", 20)
    points = rng.random((40, 2))
    values = product(points) + rng.normal(0, 0.1, 40)

    def kernel(seed: int) -> list[float]:
        surrogate = Surrogate(seed)
        surrogate.fit(points, values)
        assert surrogate._hyperparameters is not None
        return [float(value) for value in surrogate._hyperparameters.logarithms]

    assert kernel(1) == kernel(1)
    assert kernel(1) != kernel(2)


def test_a_long_study_is_learned_from_by_its_ends_its_frontier_and_a_sample() -> None:
    assert learning_set(MOST_LEARNED, []) == list(range(MOST_LEARNED))
    places = learning_set(1000, [500, 501])
    assert len(places) == MOST_LEARNED and places == sorted(set(places))
    assert {0, 9, 500, 501, 950, 999} <= set(places)
    assert learning_set(1000, [500, 501]) == places  # the same after a resume
    crowded = learning_set(1000, range(100, 800))
    assert len(crowded) == MOST_LEARNED and {0, 9, 950, 999} <= set(crowded)
