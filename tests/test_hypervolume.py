import itertools
import math

import numpy as np
import pytest

from paretune.search.record.hypervolume import hypervolume


def by_inclusion_and_exclusion(points: np.ndarray, reference: np.ndarray) -> float:
    """Return the volume of a union of boxes, term by term."""
    total = 0.0
    for size in range(1, len(points) + 1):
        for chosen in itertools.combinations(points, size):
            corner = np.max(chosen, axis=0)
            total += (-1) ** (size + 1) * float(np.prod(np.maximum(reference - corner, 0)))
    return total


@pytest.mark.parametrize("objectives", [1, 2, 3, 4, 6])
def test_one_point_is_a_box(objectives: int) -> None:
    point, reference = np.full((1, objectives), 1.0), np.full(objectives, 3.0)
    assert hypervolume(point, reference) == pytest.approx(2.0**objectives)


@pytest.mark.parametrize("steps", [1, 2, 7, 30])
def test_staircase_in_two_objectives(steps: int) -> None:
    points = np.array([[i, steps - 1 - i] for i in range(steps)], dtype=float)
    # Columns of height 1, 2, …, steps.
    assert hypervolume(points, np.full(2, float(steps))) == pytest.approx(steps * (steps + 1) / 2)


@pytest.mark.parametrize("steps", [1, 2, 4, 6])
def test_staircase_in_three_objectives(steps: int) -> None:
    corners = [p for p in itertools.product(range(steps), repeat=3) if sum(p) == steps - 1]
    # All unit cubes but the tetrahedral number of those below the plane.
    volume = hypervolume(np.array(corners, dtype=float), np.full(3, float(steps)))
    assert volume == pytest.approx(steps**3 - math.comb(steps + 1, 3))


@pytest.mark.parametrize("objectives", [2, 3, 4, 5])
def test_agrees_with_inclusion_and_exclusion(objectives: int, rng: np.random.Generator) -> None:
    for _ in range(10):
        points, reference = rng.random((9, objectives)) * 1.2, np.ones(objectives)
        expected = by_inclusion_and_exclusion(points, reference)
        assert hypervolume(points, reference) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("objectives", [2, 3, 4])
def test_ties_in_single_coordinates(objectives: int, rng: np.random.Generator) -> None:
    reference = np.full(objectives, 4.0)
    for _ in range(20):
        points = rng.integers(0, 5, size=(30, objectives)).astype(float)
        # With whole numbers the volume is the number of unit cells that some point dominates.
        cells = np.array(list(itertools.product(range(4), repeat=objectives)), dtype=float)
        dominated = (points[:, None] <= cells[None]).all(axis=2).any(axis=0)
        assert hypervolume(points, reference) == pytest.approx(int(dominated.sum()))


@pytest.mark.parametrize("objectives", [3, 4, 5])
def test_a_large_front_agrees_with_monte_carlo(objectives: int, rng: np.random.Generator) -> None:
    points = np.abs(rng.normal(size=(300, objectives)))
    points = 1 - points / np.linalg.norm(points, axis=1, keepdims=True)
    darts = rng.random((20_000, objectives))
    share = (points[:, None] <= darts[None]).all(axis=2).any(axis=0).mean()
    # Five standard deviations of a share of 20,000 darts.
    assert hypervolume(points, np.ones(objectives)) == pytest.approx(share, abs=0.018)


def test_three_objectives_agree_with_the_recursion_over_four(rng: np.random.Generator) -> None:
    points = rng.random((60, 3))
    lifted = np.column_stack([points, np.zeros(60)])
    expected = hypervolume(lifted, np.ones(4))
    assert hypervolume(points, np.ones(3)) == pytest.approx(expected, rel=1e-12)


def test_dominated_equal_and_outside_points_add_nothing() -> None:
    reference = np.array([2.0, 2.0, 2.0])
    one = np.array([[1.0, 1.0, 1.0]])
    more = np.array([[1.0, 1.0, 1.0], [1.0, 1.0, 1.0], [1.5, 1.0, 1.0], [0.0, 0.0, 2.0]])
    assert hypervolume(more, reference) == hypervolume(one, reference) == 1.0


def test_no_points() -> None:
    assert hypervolume(np.empty((0, 2)), np.ones(2)) == 0.0


def test_bad_shapes_and_nan_are_refused() -> None:
    with pytest.raises(ValueError, match="reference of shape"):
        hypervolume(np.ones((2, 3)), np.ones(2))
    with pytest.raises(ValueError, match="NaN"):
        hypervolume(np.array([[np.nan, 1.0]]), np.ones(2))
