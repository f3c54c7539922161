"""The plausible frontier: what may be on it, given how sure the measurements are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from runners.statistic import Statistic
from search.confirmed import LIKELY
from search.history import History
from search.objective import Objective, losses
from search.pareto import non_dominated
from search.trial import TrialRecord


def plausible(history: History) -> list[TrialRecord]:
    """Return the feasible trials that no other clearly dominates, likeliest first.

    One trial clearly dominates another if its objectives, each at the bad end of its interval, are
    no worse than the other's at the good end. First come the points of the frontier itself, then
    those that the fewest others dominate by their values alone.
    """
    records = history.feasible
    if not records:
        return []
    good, bad = (
        np.array(
            [
                _ends(r.measurement.statistics, history.objectives, is_good)
                for r in records
                if r.measurement
            ]
        )
        for is_good in (True, False)
    )
    values = losses([record.metrics for record in records], history.objectives)
    kept = []
    for row, record in enumerate(records):
        clearly = (bad <= good[row]).all(axis=1) & (bad < good[row]).any(axis=1)
        clearly[row] = False
        if not clearly.any():
            beaten = (values <= values[row]).all(axis=1) & (values < values[row]).any(axis=1)
            kept.append((int(beaten.sum()), record.number, record))
    return [record for _, _, record in sorted(kept, key=lambda each: each[:2])]


def _ends(
    statistics: Mapping[str, Statistic], objectives: Sequence[Objective], is_good: bool
) -> list[float]:
    """Return each objective's loss at one end of its interval."""
    ends = []
    for goal in objectives:
        statistic = statistics[goal.metric]
        low, high = statistic.ends
        end = low if (goal.direction == "minimize") == is_good else high
        has_loss = end > 0 or not goal.is_ratio_scale
        ends.append(goal.loss(end if has_loss else statistic.value))
    return ends


def probability_non_dominated(draws: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how often each point is dominated by no other.

    Args:
        draws: Losses of shape (draws, points, objectives): each draw is one way the truth may be.

    Returns:
        Shares of shape (points,).
    """
    shares: NDArray[np.float64] = np.mean([non_dominated(draw) for draw in draws], axis=0)
    return shares


def has_advantage(one: NDArray[np.float64], other: NDArray[np.float64]) -> bool:
    """Tell whether a point is clearly better than another in any objective.

    Args:
        one: Its losses, as draws of shape (draws, objectives).
        other: Those of the other, paired with them.

    Returns:
        Whether in some objective nine of ten draws speak for it: so nine of ten of the points that
        are chosen by it should hold when they are measured again.
    """
    return bool((np.percentile(one - other, 90, axis=0) < 0).any())


def indistinct(one: NDArray[np.float64], other: NDArray[np.float64]) -> bool:
    """Tell whether no objective of two points, as draws of shape (draws, objectives), differs.

    It differs if 95 % of the differences between paired draws lie on one side of zero.
    """
    low, high = np.percentile(one - other, [2.5, 97.5], axis=0)
    return bool(((low <= 0) & (high >= 0)).all())


def stand(
    draws: NDArray[np.float64], order: Sequence[int]
) -> tuple[dict[int, float], dict[int, int]]:
    """Tell which points stand as the frontier, and which are no different from one of those.

    A point that is clearly better in nothing than a likelier one which stands does not: it is
    dominated, as far as can be told, or the same. Nor does one that others dominate in most draws;
    the unlikeliest such goes first, and what it kept out is judged anew.

    Args:
        draws: Losses of shape (draws, points, objectives).
        order: Places of the points to judge, the likeliest first.

    Returns:
        The probability that no other which stands dominates it, by a point's place; and, for the
        places of points that are the same in all objectives, the place of the one that stands.
    """
    judged = list(order)
    while judged:
        standing: list[int] = []
        same: dict[int, int] = {}
        for place in judged:
            own = draws[:, place]
            rivals = [o for o in standing if not has_advantage(own, draws[:, o])]
            if not rivals:
                standing.append(place)
            elif twins := [o for o in rivals if indistinct(own, draws[:, o])]:
                same[place] = twins[0]
        shares = probability_non_dominated(draws[:, standing])
        chances = dict(zip(standing, map(float, shares), strict=True))
        weakest = min(standing, key=lambda place: chances[place])
        if chances[weakest] >= LIKELY:
            return chances, same
        judged.remove(weakest)
    return {}, {}
