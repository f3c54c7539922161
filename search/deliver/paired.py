"""Paired differences: of two points' qualities on the same bootstrap samples."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from paretune.runners.measure.statistic import Statistic
from paretune.search.record.history import History


def quality_draws(history: History, number: int) -> NDArray[np.float64]:
    """Return a confirmed point's quality on bootstrap samples of the test split.

    The samples are the same for every point, so draws of two points are paired by index.

    Returns:
        Shape (samples,); empty if the point was not confirmed, or by a version without samples.
    """
    kept = next((point.resampled for point in history.confirmed if point.number == number), ())
    return np.array(kept, dtype=np.float64)


def quality_difference(history: History, one: int, other: int) -> Statistic | None:
    """Return the quality of one confirmed point minus another's, with its 95 % interval.

    Both answer most test samples alike, so the difference is known far better than either quality.

    Args:
        history: The study.
        one: A trial's number.
        other: Another trial's number.

    Returns:
        The difference of the published values, with the interval of the paired bootstrap (Efron
        and Tibshirani, An Introduction to the Bootstrap, 1993). ``None`` if there are no paired
        draws, or the quality could not be resampled and so has no interval.
    """
    ours, theirs = quality_draws(history, one), quality_draws(history, other)
    if not len(ours) or len(ours) != len(theirs):
        return None
    if np.ptp(ours) == 0 and np.ptp(theirs) == 0:
        return None
    values = {p.number: p.metrics[history.quality_metric] for p in history.confirmed}
    low, high = np.percentile(ours - theirs, [2.5, 97.5])
    return Statistic(values[one] - values[other], float(low), float(high))
