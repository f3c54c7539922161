"""The published frontier beside a fresh measurement of it: does it hold, or has it moved?

The frontier *moved* if one of these is true:

1. A published point left it. It can no longer be run, breaks a limit of the study, or the
   probability that no other of the points dominates it is below one half, and it is no tie.
2. The order of two published points changed: by their published intervals one was clearly better in
   an objective, now the other is, by the fresh values.
3. The wish picks another point, and the old or the new pick has a value outside its published
   interval, so that it is the point that changed, not the draw of two equals.

If it did not move, values may have *shifted*: some are outside their published intervals, such as
on a machine that is slower as a whole, but what was the better choice still is. Otherwise the
frontier *holds*. The intervals are those of a repetition: one value in twenty is outside by chance,
which alone moves nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from enum import StrEnum
from itertools import permutations

from paretune.search.deliver.choice import choose
from paretune.search.record.confirmed import CLOSE_CALL, Confirmed
from paretune.search.record.history import History
from paretune.search.record.objective import Objective
from paretune.search.study.again.change import Change, changes, environment_changes
from paretune.spaces import StudyError


class Standing(StrEnum):
    """How a published frontier stands after it was measured again."""

    HOLDS = "holds"
    SHIFTED = "shifted"
    MOVED = "moved"


@dataclass(frozen=True)
class Comparison:
    """A published frontier beside a fresh measurement of it.

    Attributes:
        standing: How it stands.
        reasons: What moved, one line each; empty if nothing did.
        changes: Every value beside the published one.
        environment: What else is different now, one line each.
    """

    standing: Standing
    reasons: tuple[str, ...]
    changes: tuple[Change, ...]
    environment: tuple[str, ...]

    @property
    def lines(self) -> list[str]:
        """The comparison for people, one line each."""
        told: dict[int, list[str]] = {}
        for change in self.changes:
            told.setdefault(change.number, []).append(change.text)
        return [
            *(f"different now: {text}" for text in self.environment),
            *(f"trial {number}: {', '.join(texts)}" for number, texts in told.items()),
            *(f"moved: {reason}" for reason in self.reasons),
        ]


def compare(history: History, now: Sequence[Confirmed]) -> Comparison:
    """Compare a study's published points with fresh ones.

    Args:
        history: The study, with the points as they were published, and the wish.
        now: The points that were measured again.
    """
    goals = [goal.metric for goal in history.objectives]
    metrics = list(dict.fromkeys([*goals, history.wish.latency_metric]))
    found = changes(history.confirmed, now, metrics)
    reasons = [*_left(history, now), *_reordered(history, found), *_picked(history, now, found)]
    standing = Standing.HOLDS
    if reasons:
        standing = Standing.MOVED
    elif any(change.has_left for change in found):
        standing = Standing.SHIFTED
    environment = tuple(environment_changes(history.confirmed, now))
    return Comparison(standing, tuple(reasons), tuple(found), environment)


def _left(history: History, now: Sequence[Confirmed]) -> list[str]:
    """Return which published points left the frontier, and why."""
    fresh = {point.number: point for point in now}
    reasons = []
    for point in history.published:
        after = fresh.get(point.number)
        if after is None:
            reasons.append(f"trial {point.number} could not be measured any more")
        elif not after.is_published and after.same_as is None and after.probability < CLOSE_CALL:
            reasons.append(f"trial {point.number} left the frontier: {after.why_not}")
    return reasons


def _reordered(history: History, found: Sequence[Change]) -> list[str]:
    """Return the pairs of published points whose order in an objective changed."""
    published = {point.number for point in history.published}
    reasons = []
    for goal in history.objectives:
        of_goal = [c for c in found if c.metric == goal.metric and c.number in published]
        for one, other in permutations(of_goal, 2):
            if _is_clearly_better(goal, one, other) and _is_now_worse(goal, one, other):
                reasons.append(
                    f"trial {one.number} was better than trial {other.number} in {goal.metric}, "
                    "and now is worse"
                )
    return reasons


def _is_clearly_better(goal: Objective, one: Change, other: Change) -> bool:
    """Tell whether one's published interval was better than the other's, throughout."""
    (low, high), (other_low, other_high) = one.before.ends, other.before.ends
    return high < other_low if goal.direction == "minimize" else low > other_high


def _is_now_worse(goal: Objective, one: Change, other: Change) -> bool:
    return goal.loss(one.now.value) > goal.loss(other.now.value)


def _picked(history: History, now: Sequence[Confirmed], found: Sequence[Change]) -> list[str]:
    """Return whether the wish picks another point, because one of the two has changed."""
    numbers = {point.number for point in now}
    before = _pick(history, [p for p in history.confirmed if p.number in numbers])
    after = _pick(history, now)
    if before == after:
        return []
    if not any(change.has_left for change in found if change.number in (before, after)):
        return []
    then, today = ("nothing" if number is None else f"trial {number}" for number in (before, after))
    return [f"the wish picked {then}, and now picks {today}"]


def _pick(history: History, points: Sequence[Confirmed]) -> int | None:
    """Return the trial that the wish picks among some points; ``None`` if none fits it."""
    seen = copy(history)
    seen.confirmed = list(points)
    try:
        return choose(seen, history.wish).number
    except StudyError:
        return None
