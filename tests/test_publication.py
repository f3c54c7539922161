"""Publication: one rule decides which confirmed points are published, and it holds."""

import numpy as np
import pytest
from numpy.typing import NDArray

from paretune.search.confirm.publication import (
    LEAST_MEAN_PROBABILITY,
    Verdict,
    calibrated,
    is_tie,
    probability_non_dominated,
    publish,
    row_members,
)
from paretune.search.record.pareto import dominance

Array = NDArray[np.float64]


def judged(means: Array, noise: Array, rng: np.random.Generator, count: int = 400) -> list[Verdict]:
    """Publish points with these values, known up to normal noise."""
    return publish(means, means + noise * rng.standard_normal((count, *means.shape)))


def test_dominance_is_that_of_each_draw() -> None:
    draws = np.array([[[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], [[0.0, 0.0], [0.0, 0.0], [0.5, -1.0]]])
    beats = dominance(draws)
    assert beats[0].tolist() == [[False, False, True], [False, False, True], [False] * 3]
    assert not beats[1].any()  # equal points do not dominate each other


def test_a_probability_follows_from_the_share_of_draws() -> None:
    draws = np.array(
        [
            [[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]],
            [[0.0, 1.0], [1.0, 0.0], [0.5, 0.5]],
            [[0.0, 1.0], [1.0, 2.0], [0.5, 0.5]],
            [[0.0, 0.0], [1.0, 2.0], [0.5, 0.5]],
        ]
    )
    shares = np.array([1.0, 0.5, 0.5])
    assert probability_non_dominated(draws).tolist() == calibrated(shares).tolist()
    assert calibrated(np.array([0.0, 1.0])).tolist() == [0.0, 1.0]
    assert (np.diff(calibrated(np.linspace(0, 1, 50))) > 0).all()


@pytest.mark.parametrize("seed", range(20))
def test_no_published_point_is_dominated_and_every_other_says_why(seed: int) -> None:
    rng = np.random.default_rng(seed)
    means = rng.uniform(0, 1, (rng.integers(1, 40), rng.integers(1, 5)))
    verdicts = judged(means, rng.choice([0.001, 0.05, 0.3]) * np.ones(means.shape), rng)
    beats = dominance(means[None])[0]
    published = [i for i, v in enumerate(verdicts) if v.is_published and v.row == i]
    for place in published:
        assert not beats[:, place].any()
    for place, verdict in enumerate(verdicts):
        if not beats[:, place].any():
            # Published, a tie, or of a row that is not sure enough.
            assert verdict.row is not None and verdict.row_probability is not None
            assert verdict.dominator is None
        else:
            assert verdict.dominator is not None and beats[verdict.dominator, place]
        if verdict.row is not None:
            assert verdicts[verdict.row].row == verdict.row
            assert place in row_members(verdicts, verdict.row)
            assert verdict.is_published == verdicts[verdict.row].is_published
            assert verdict.row_probability >= verdict.probability - 1e-12


@pytest.mark.parametrize("seed", range(10))
def test_rows_are_published_while_their_mean_probability_is_high_enough(seed: int) -> None:
    rng = np.random.default_rng(seed)
    verdicts = judged(rng.uniform(0, 1, (60, 2)), np.full((60, 2), 0.05), rng)
    rows = {i: v for i, v in enumerate(verdicts) if v.row == i}
    chances = [v.row_probability for v in rows.values() if v.is_published]
    others = [v.row_probability for v in rows.values() if not v.is_published]
    assert np.mean(chances) >= LEAST_MEAN_PROBABILITY
    assert others, "the case should have rows that are not published"
    assert max(others) <= min(chances)
    assert np.mean([*chances, max(others)]) < LEAST_MEAN_PROBABILITY


def test_the_likeliest_row_is_published_however_noisy_the_study(rng: np.random.Generator) -> None:
    means = rng.uniform(0, 1, (12, 3))
    verdicts = judged(means, np.full(means.shape, 30.0), rng)
    published = {v.row for v in verdicts if v.is_published}
    assert len(published) == 1
    [row] = published
    assert row is not None
    chance = verdicts[row].row_probability
    assert chance is not None
    assert chance == max(v.row_probability for v in verdicts if v.row_probability is not None)


def test_copies_of_one_file_make_one_row_that_is_published(rng: np.random.Generator) -> None:
    # Three copies of a point and a trade-off: each copy is dominated by another in many draws.
    means = np.array([[0.0, 5.0], [0.0, 5.0], [0.0, 5.0], [5.0, 0.0]])
    verdicts = judged(means, np.full(means.shape, 0.1), rng)
    assert max(v.probability for v in verdicts[:3]) < 0.8
    [row] = {v.row for v in verdicts[:3]}
    assert row is not None and verdicts[row].row_probability == 1.0
    assert verdicts[row].is_published and verdicts[3].is_published
    assert sorted(row_members(verdicts, row)) == [0, 1, 2]


def test_ties_are_judged_by_all_objectives_together(rng: np.random.Generator) -> None:
    found = {"joint": 0, "each": 0}
    for _ in range(300):
        # Two equal points, each measured with noise; draws scatter around what was measured.
        measured = rng.standard_normal((2, 3))
        one, other = measured[:, None] + rng.standard_normal((2, 300, 3))
        found["joint"] += is_tie(one, other)
        low, high = np.percentile(one - other, [2.5, 97.5], axis=0)
        found["each"] += bool(((low <= 0) & (high >= 0)).all())
    assert found["joint"] / 300 == pytest.approx(0.95, abs=0.035)
    assert found["each"] / 300 < 0.9


def test_a_difference_without_noise_tells_points_apart(rng: np.random.Generator) -> None:
    one = rng.standard_normal((200, 3))
    one[:, 2] = 4.0
    other = one + 0.1 * rng.standard_normal((200, 3)) * [1, 1, 0]
    assert is_tie(one, other)
    assert not is_tie(one, other + np.array([0, 0, 0.001]))
    assert not is_tie(one, other + np.array([0, 1, 0]))
    assert is_tie(one, one)


def test_nothing_is_published_of_nothing() -> None:
    assert publish(np.empty((0, 3)), np.empty((10, 0, 3))) == []
