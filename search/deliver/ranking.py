"""The ranking: the order in which points that keep a wish are picked."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from paretune.runners.measure.statistic import CONFIDENCE, Statistic
from paretune.runners.metric import PEAK_MEMORY, SIZE, THROUGHPUT, is_quality, metric_of
from paretune.search.deliver.paired import quality_draws
from paretune.search.record.history import History
from paretune.search.record.trial import TrialRecord
from paretune.search.record.wish import Preference
from paretune.spaces import StudyError

PREFERRED = {"throughput": THROUGHPUT, "size": SIZE, "memory": PEAK_MEMORY}
"""The metric of each preference that is neither quality nor latency."""


class Ranking:
    """Orders points by a preference, and points that cannot be told apart by a second one.

    The one-standard-error rule (Breiman, Friedman, Olshen and Stone, Classification and Regression
    Trees, 1984, section 3.4.3): the best point by its value is often only the luckiest. So every
    point whose difference from it is within one standard error of that difference counts as its
    equal. If quality is preferred, the fastest equal comes first, by the wished latency, then by
    throughput, then by size; for any other preference, the equal with the best quality. The rule is
    then repeated on the rest.

    The standard error of a difference of qualities comes from the paired bootstrap of the test
    split, enlarged because its draws are few. One more right answer is worth about one standard
    error, and 200 draws determine that to within 5 %: chance would decide whether it counts. Twice
    the 5 % is added, so that it does not.

    Without draws (a study confirmed by an older version) it is the best point's standard error,
    from its interval, as in the book. For all other metrics it comes from both points' intervals.
    Values without an interval count as exact.

    Args:
        pool: The points; each has the preferred metric.
        history: Their study.
        preference: The quantity to optimize.
        latency_metric: The wished latency.

    Raises:
        StudyError: If the preference is unknown.
    """

    def __init__(
        self,
        pool: Sequence[TrialRecord],
        history: History,
        preference: Preference,
        latency_metric: str,
    ) -> None:
        if preference not in get_args(Preference):
            known = ", ".join(get_args(Preference))
            raise StudyError(f"prefer must be one of {known}; got {preference!r}")
        quality, by_quality = history.quality_metric, preference == "accuracy"
        speed = [latency_metric, THROUGHPUT, SIZE]
        metric = {"accuracy": quality, "latency": latency_metric, **PREFERRED}[preference]
        second = latency_metric if by_quality else quality
        # Sorted, so that the best of the rest is always the first.
        self._pool = sorted(pool, key=lambda r: _key(r, [metric, second, *speed]))
        among_equals = [*speed, metric] if by_quality else [second, metric, *speed]
        self._keys = [_key(record, among_equals) for record in self._pool]
        values = [[_loss(r, name) for name in (metric, second)] for r in self._pool]
        self._losses = np.array(values, dtype=np.float64).reshape(len(self._pool), 2)
        self._errors = standard_errors(self._pool, metric, is_fresh=bool(history.confirmed))
        self._is_by_quality = by_quality
        self._draws = _paired(self._pool, history) if by_quality else None

    def equals(self) -> list[TrialRecord]:
        """Return the best point by its value, then those that cannot be told apart from it."""
        return [self._pool[row] for row in self._equals(np.arange(len(self._pool)))]

    def order(self, most: int | None = None) -> list[TrialRecord]:
        """Return the points, beginning with the one to pick.

        No point comes before one that beats it in both the preferred metric and the second.

        Args:
            most: How many to return; all by default, which takes long with thousands of points.
        """
        left, found = np.arange(len(self._pool)), list[TrialRecord]()
        while len(left) and (most is None or len(found) < most):
            equal = sorted(self._equals(left), key=self._keys.__getitem__)
            first = next(row for row in equal if not self._is_beaten(row, left))
            found.append(self._pool[first])
            left = left[left != first]
        return found

    def _equals(self, rows: NDArray[np.intp]) -> NDArray[np.intp]:
        """Return the best of some rows, and those that cannot be told apart from it."""
        if not len(rows):
            return rows
        best = rows[0]
        if self._draws is not None:
            error = paired_errors(self._draws[rows], self._draws[best])
        elif self._is_by_quality:
            error = np.full(len(rows), self._errors[best])
        else:
            error = np.hypot(self._errors[rows], self._errors[best])
        found: NDArray[np.intp] = rows[self._losses[rows, 0] - self._losses[best, 0] <= error]
        return found

    def _is_beaten(self, row: int, rows: NDArray[np.intp]) -> bool:
        own, others = self._losses[row], self._losses[rows]
        return bool(((others <= own).all(axis=1) & (others < own).any(axis=1)).any())


def paired_errors(draws: NDArray[np.float64], best: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the standard errors of the differences between points' qualities and another's.

    Args:
        draws: Qualities on bootstrap samples, of shape (points, samples).
        best: Those of the other point, of shape (samples,).
    """
    # The relative standard error of a standard deviation of n draws is 1 / √(2 (n - 1)).
    enlarged = 1 + 2 / (2 * (draws.shape[1] - 1)) ** 0.5
    error: NDArray[np.float64] = np.std(draws - best, axis=1, ddof=1) * enlarged
    return error


def _key(record: TrialRecord, metrics: Sequence[str]) -> tuple[float, ...]:
    return (*(_loss(record, metric) for metric in metrics), record.number)


def _loss(record: TrialRecord, metric: str) -> float:
    value = record.metrics[metric]
    return -value if metric_of(metric).higher_is_better else value


def standard_errors(
    pool: Sequence[TrialRecord], metric: str, *, is_fresh: bool
) -> NDArray[np.float64]:
    """Return each value's standard error, from its 95 % interval; 0 without one."""
    width = 2 * NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    if is_fresh and not is_quality(metric):
        width *= 2**0.5  # published times have prediction intervals
    found = []
    for record in pool:
        measured = record.measurement.statistics if record.measurement else {}
        low, high = measured.get(metric, Statistic(0.0)).ends
        found.append((high - low) / width)
    return np.array(found)


def _paired(pool: Sequence[TrialRecord], history: History) -> NDArray[np.float64] | None:
    """Return the points' paired draws of quality, of shape (points, draws), if all have them."""
    draws = [quality_draws(history, record.number) for record in pool]
    if not draws or len({len(each) for each in draws}) > 1 or not len(draws[0]):
        return None
    return np.array(draws)
