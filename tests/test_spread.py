"""The spread of means over launches, learned from all points of a campaign."""

import numpy as np
import pytest

from paretune.runners.measure.spread import drift, spreads
from paretune.runners.measure.statistic import Statistic


def restless(
    rng: np.random.Generator, points: int, launches: int, degrees: float
) -> tuple[np.ndarray, np.ndarray]:
    """Two campaigns of one machine: relative deviations around a tenth, different per point."""
    deviation = 0.1 * np.sqrt(degrees / rng.chisquare(degrees, points))
    means = rng.uniform(0.01, 5, points)
    first, second = (
        means[:, None] * (1 + deviation[:, None] * rng.standard_normal((points, launches)))
        for _ in range(2)
    )
    return first, second


def width(statistic: Statistic) -> float:
    assert statistic.low is not None and statistic.high is not None
    return (statistic.high - statistic.low) / statistic.value


def test_intervals_hold_a_second_campaign_and_are_narrower(rng: np.random.Generator) -> None:
    held, moderated, own = [], [], []
    for _ in range(60):
        first, second = restless(rng, points=30, launches=4, degrees=6)
        for values, again, spread in zip(first, second, spreads(first), strict=True):
            found = spread.statistic().for_repetition()
            assert found.low is not None and found.high is not None
            held.append(found.low <= again.mean() <= found.high)
            moderated.append(width(found))
            own.append(width(Statistic.over_launches(values).for_repetition()))
    assert np.mean(held) == pytest.approx(0.95, abs=0.015)
    assert np.mean(moderated) < 0.85 * np.mean(own)
    # The narrowest are those that launches agreed in by luck.
    assert np.quantile(moderated, 0.05) > 1.4 * np.quantile(own, 0.05)


def test_points_of_one_deviation_share_it(rng: np.random.Generator) -> None:
    values = 2 + 0.2 * rng.standard_normal((200, 3))
    errors = [spread.standard_error for spread in spreads(values)]
    # A tenth of 2, over three launches.
    assert np.median(errors) == pytest.approx(0.2 / 3**0.5, rel=0.1)
    assert np.std(errors) < 0.1 * np.mean(errors)


def test_few_points_tell_nothing_of_each_other(rng: np.random.Generator) -> None:
    values = rng.uniform(1, 2, (4, 6))
    for spread, each in zip(spreads(values), values, strict=True):
        own = Statistic.over_launches(each, 0.01)
        found = spread.statistic(0.01)
        assert (found.value, found.low) == (own.value, pytest.approx(own.low))


def test_a_point_of_one_launch_has_the_others_spread(rng: np.random.Generator) -> None:
    values = [list(row) for row in 2 + 0.2 * rng.standard_normal((40, 5))]
    values.append([3.0])
    last = spreads(values)[-1]
    assert last.standard_error == pytest.approx(3 * 0.1, rel=0.35)
    assert spreads([[3.0]])[0].statistic() == Statistic(3.0)


def test_launches_that_are_all_the_same_are_no_error() -> None:
    [spread, *_] = spreads([[5.0, 5.0, 5.0]] * 8)
    assert width(spread.statistic(0.01)) == pytest.approx(0.02, rel=1e-3)


@pytest.mark.parametrize("wander", [0.0, 0.08])
def test_what_changes_between_campaigns_is_seen(rng: np.random.Generator, wander: float) -> None:
    found = []
    for _ in range(40):
        first, second = restless(rng, points=30, launches=4, degrees=8)
        # The machine is a fifth slower the second time, and each point wanders by itself.
        second = 1.2 * second * np.exp(wander * rng.standard_normal((30, 1)))
        first = first * np.exp(wander * rng.standard_normal((30, 1)))
        before = [(float(each.mean()), 4) for each in first]
        found.append(drift(spreads(second), before))
    assert np.mean([each.own for each in found]) == pytest.approx(wander, abs=0.02)
    few = drift(spreads([[1.0, 1.1]] * 3), [(2.0, 3)] * 3)
    assert few.own == 0.0 and few.change == 1.0
    assert np.mean([each.change for each in found]) == pytest.approx(1.2, rel=0.02)
    # That it is a fifth slower was seen, and is part of what a repetition may differ by.
    assert 0.05 < np.mean([each.shared for each in found]) < 0.1
    assert min(each.repetition(0.01) for each in found) > 3 * few.repetition(0.01)


def test_intervals_hold_a_campaign_on_a_machine_that_is_slower_by_then(
    rng: np.random.Generator,
) -> None:
    held = []
    for _ in range(200):
        first, second, third = (
            np.exp(0.02 * rng.standard_normal((20, 6)) + 0.02 * rng.standard_normal())
            for _ in range(3)
        )
        before = [(float(each.mean()), 6) for each in first]
        wider = drift(spreads(second), before).repetition(0.01)
        for spread, again in zip(spreads(second), third, strict=True):
            low, high = spread.statistic(wider).for_repetition().ends
            held.append(low <= again.mean() <= high)
    assert 0.94 < np.mean(held) <= 1.0


def test_a_geometric_mean_is_above_zero_however_few_launches() -> None:
    few = Statistic.geometric([100.0, 400.0], 0.01)
    many = Statistic.geometric([190.0, 200.0, 210.0] * 3, 0.01)
    assert few.value == pytest.approx(200.0) and 0 < few.ends[0] < 100 < 400 < few.ends[1]
    assert 0.9 < many.ends[0] / many.value < 1 < many.ends[1] / many.value < 1.1
    assert Statistic.geometric([3.0]).ends == pytest.approx((3.0, 3.0))
