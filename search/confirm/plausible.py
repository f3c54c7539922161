"""The plausible frontier: trials that may be on it, given the search's uncertainties."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from paretune.search.record.history import History
from paretune.search.record.objective import Objective, losses
from paretune.search.record.pareto import dominance
from paretune.search.record.trial import TrialRecord

CONFIDENCE = 0.95
"""Share of bootstrap samples in which a quality must be no worse to count as clearly no worse."""


def plausible(history: History) -> list[TrialRecord]:
    """Return the feasible trials that no other clearly dominates, most likely first.

    One trial clearly dominates another if it is clearly no worse in every objective, and better in
    one. A time, rate or size is clearly no worse if it is no worse at the bad end of its interval
    than the other's at the good end. Qualities are compared on the same bootstrap samples of the
    validation split, so that one sample answered by luck does not decide. The frontier's own points
    come first, then those that the fewest others dominate by their values alone.
    """
    records = history.feasible
    if not records:
        return []
    good, bad = _ends(records, history, is_good=True), _ends(records, history, is_good=False)
    values = losses([record.metrics for record in records], history.objectives)
    beaten = dominance(values[None])[0].sum(axis=0)
    resampled = _resampled(records, history)
    everyone, front = np.arange(len(records)), np.flatnonzero(beaten == 0)
    kept = []
    for row, record in enumerate(records):
        # Most trials are clearly dominated by one of the frontier, which is quick to see.
        if not any(
            _is_dominated(row, rivals, good, bad, resampled) for rivals in (front, everyone)
        ):
            kept.append((int(beaten[row]), record.number, record))
    return [record for _, _, record in sorted(kept, key=lambda each: each[:2])]


def to_confirm(history: History, best: TrialRecord | None = None) -> list[TrialRecord]:
    """Return the trials to confirm: the baseline, what a pick would take, then the likeliest.

    If time is short, the last ones are left out.

    Args:
        history: The study.
        best: The trial that a pick would take, if it is known.
    """
    points = [each for each in plausible(history) if history.is_of_interest(each)]
    points.sort(key=lambda each: each is not best)
    return baseline_first(points, history)


def baseline_first(points: Sequence[TrialRecord], history: History) -> list[TrialRecord]:
    """Return trials with the baseline before them, which everything is compared with."""
    base = history.baseline
    return [*([] if base is None else [base]), *(each for each in points if each is not base)]


def _is_dominated(
    row: int,
    rivals: NDArray[np.intp],
    good: NDArray[np.float64],
    bad: NDArray[np.float64],
    resampled: tuple[int, NDArray[np.float64]] | None,
) -> bool:
    """Tell whether one of the rivals clearly dominates a trial; all are given by their places."""
    rivals = rivals[rivals != row]
    no_worse, better = bad[rivals] <= good[row], bad[rivals] < good[row]
    if resampled is None:
        return bool((no_worse.all(axis=1) & better.any(axis=1)).any())
    column, qualities = resampled
    no_worse, better = (np.delete(each, column, axis=1) for each in (no_worse, better))
    # Only trials that are no worse in everything else can dominate: a shortcut for long studies.
    near = no_worse.all(axis=1)
    own, others = qualities[row], qualities[rivals[near]]
    is_no_worse = (others >= own).mean(axis=1) >= CONFIDENCE
    is_better = (others > own).mean(axis=1) >= CONFIDENCE
    return bool((is_no_worse & (is_better | better[near].any(axis=1))).any())


def _resampled(
    records: list[TrialRecord], history: History
) -> tuple[int, NDArray[np.float64]] | None:
    """Return the quality's place among the objectives, and qualities: shape (records, samples).

    ``None`` if quality is not an objective, or a trial lacks bootstrap samples: a workload's metric
    may need a sample of every class, and trials of earlier versions have intervals only.
    """
    names = [goal.metric for goal in history.objectives]
    found = [record.measurement.resampled for record in records if record.measurement]
    is_paired = len({len(each) for each in found}) == 1 and len(found[0]) > 0
    if history.quality_metric not in names or not is_paired:
        return None
    return names.index(history.quality_metric), np.array(found)


def _ends(records: list[TrialRecord], history: History, *, is_good: bool) -> NDArray[np.float64]:
    """Return each objective's loss at one end of its interval: shape (records, objectives)."""
    return np.array([[_end(r, goal, is_good) for goal in history.objectives] for r in records])


def _end(record: TrialRecord, goal: Objective, is_good: bool) -> float:
    statistics = record.measurement.statistics if record.measurement else {}
    statistic = statistics[goal.metric]
    low, high = statistic.ends
    end = low if (goal.direction == "minimize") == is_good else high
    has_loss = end > 0 or not goal.is_ratio_scale
    return goal.loss(end if has_loss else statistic.value)
