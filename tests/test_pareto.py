import numpy as np
import pytest

from paretune.search.record.pareto import front, non_dominated


def brute_force(points: np.ndarray) -> list[bool]:
    def beats(a: np.ndarray, b: np.ndarray) -> bool:
        return all(x <= y for x, y in zip(a, b, strict=True)) and any(
            x < y for x, y in zip(a, b, strict=True)
        )

    return [not any(beats(other, point) for other in points) for point in points]


@pytest.mark.parametrize("objectives", [1, 2, 3, 5])
def test_agrees_with_the_definition(objectives: int, rng: np.random.Generator) -> None:
    for _ in range(20):
        # Few distinct values: ties in single coordinates and equal points both occur.
        points = rng.integers(0, 5, size=(40, objectives)).astype(float)
        assert non_dominated(points).tolist() == brute_force(points)


def test_the_front_holds_each_non_dominated_point_once_in_order(rng: np.random.Generator) -> None:
    points = rng.integers(0, 4, size=(60, 3)).astype(float)
    expected = {tuple(point) for point in points[non_dominated(points)].tolist()}
    assert front(points).tolist() == [list(point) for point in sorted(expected)]


def test_points_that_trade_one_coordinate_for_another_are_all_kept() -> None:
    steps = np.arange(3000.0)
    points = np.column_stack([steps, -steps, np.zeros(3000)])
    assert non_dominated(points).all()
    assert non_dominated(points + [[0.0, 0.0, 1.0]] * (steps[:, None] == 7)).all()


def test_equal_points_are_all_kept() -> None:
    points = np.array([[1.0, 2.0], [1.0, 2.0], [2.0, 2.0]])
    assert non_dominated(points).tolist() == [True, True, False]
    zeros = np.array([[0.0, 1.0], [-0.0, 1.0]])
    assert non_dominated(zeros).tolist() == [True, True]


def test_no_points() -> None:
    assert non_dominated(np.empty((0, 3))).tolist() == []
    assert front(np.empty((0, 3))).shape == (0, 3)


def test_nan_is_refused() -> None:
    with pytest.raises(ValueError, match="NaN"):
        non_dominated(np.array([[1.0, np.nan]]))
