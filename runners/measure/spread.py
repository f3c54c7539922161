"""Spread: the uncertainty of a measurement, learned from all points measured together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from paretune.runners.measure.statistic import CONFIDENCE, Statistic
from paretune.runners.measure.student import student_quantile

_FEWEST_POINTS = 5
"""Points with several launches that are needed to estimate how variances differ. Chosen by
judgement.
"""

_FEWEST_FOR_DRIFT = 10
"""Points measured before that are needed to tell their own drift from the common one. Chosen by
judgement.
"""

_LEAST_SHARE = 1e-5
"""Least variance of a point, as a share of the median: far below what any machine shows."""

_USUAL_SHIFT = 0.015
"""Relative standard deviation by which all points move together from one campaign to the next.

Evidence: two campaigns of digits on a virtual machine of two cores, 30 and 70 minutes after the
first, moved the rates of all points by -1.0 % and -2.5 %, and p95 by +3 % and +2 %.
"""
_USUAL_SHIFT_DEGREES = 4.0
"""Weight of that prior, as a number of pairs of campaigns."""
_MOST_DEGREES = 1e3
"""Degrees of freedom that count as infinite: the t interval differs from the normal one by about
0.1 %.
"""


@dataclass(frozen=True, slots=True)
class Spread:
    """The uncertainty of a mean over launches.

    Attributes:
        mean: The mean.
        launches: The number of launches.
        standard_error: Its standard error, in its unit; ``None`` if unknown.
        degrees: Degrees of freedom of the standard error.
    """

    mean: float
    launches: int
    standard_error: float | None
    degrees: float

    def statistic(self, resolution: float = 0.0) -> Statistic:
        """Return the mean with its interval (see :meth:`Statistic.over_launches`)."""
        if self.standard_error is None:
            return Statistic(self.mean)
        return Statistic.of_mean(self.mean, self.standard_error, self.degrees, resolution)


def spreads(samples: Sequence[Sequence[float]]) -> list[Spread]:
    """Return the spread of each point's mean, from the differences of all points' launches.

    A handful of launches is a poor estimate of how much launches vary: five that agree by luck
    would give an interval that the next five miss. But most of the variation comes from the
    machine, and all points were measured on it in turns. So each point's relative variance is
    shrunk towards that of all points, the more the points resemble each other: moderated variances,
    by empirical Bayes (Smyth, "Linear Models and Empirical Bayes Methods for Assessing Differential
    Expression in Microarray Experiments", 2004, sections 3 and 6.2).

    Args:
        samples: For each point, one positive value per launch.
    """
    means = [float(np.mean(values)) for values in samples]
    degrees = np.array([len(values) - 1 for values in samples], dtype=float)
    own = np.array(
        [
            float(np.var(values, ddof=1)) / mean**2 if len(values) > 1 else 0.0
            for values, mean in zip(samples, means, strict=True)
        ]
    )
    several = degrees > 0
    common_degrees, common = 0.0, 0.0
    # A point whose launches agree exactly by chance must not hide the spread of the others.
    least = _LEAST_SHARE * float(np.median(own[several])) if several.any() else 0.0
    if several.sum() >= _FEWEST_POINTS and least > 0:
        common_degrees, common = _prior(own[several].clip(min=least), degrees[several])
    found = []
    for values, mean, degree, variance in zip(samples, means, degrees, own, strict=True):
        total = common_degrees + degree
        error = None
        if total > 0:
            moderated = (common_degrees * common + degree * variance) / total
            error = mean * float(np.sqrt(moderated / len(values)))
        found.append(Spread(mean, len(values), error, total))
    return found


@dataclass(frozen=True, slots=True)
class Drift:
    """The variation between measurements, which launches of one measurement do not show.

    Attributes:
        own: Relative standard deviation per point, in addition to the launches': neighbours on the
            same processor, another memory layout.
        shared: The deviation that all points share: the machine is slower this hour. It changes no
            ranking.
        shared_degrees: Degrees of freedom of ``shared``.
        change: How many times as large as before the values are, at the median; 1 if unknown.
    """

    own: float
    shared: float
    shared_degrees: float
    change: float = 1.0

    def repetition(self, resolution: float) -> float:
        """Return the relative half-width to add to an interval over launches.

        Args:
            resolution: Minimum variation of a point between measurements, as a relative half-width.
        """
        shared = student_quantile(self.shared_degrees, (1 + CONFIDENCE) / 2) * self.shared
        return float(np.hypot(max(resolution, 2 * self.own), shared))


def drift(found: Sequence[Spread], earlier: Sequence[tuple[float, int]]) -> Drift:
    """Return how far measurements differ from one campaign to the next.

    For points that were measured before, the change since then is used, minus what launches
    explain. ``own`` is what is left after the common shift is removed; its scale comes from the
    median absolute deviation, so that single points that were far off before do not matter.
    ``shared`` is the common shift itself. It is only one observation and is therefore shrunk
    towards what machines usually do, as are variances in :func:`spreads`.

    Args:
        found: Spreads of the campaign.
        earlier: For each point, its earlier value and the number of launches; 0 for none.

    Returns:
        The drift. With too few points, ``own`` is 0 and ``shared`` is the usual value.
    """
    from scipy.stats import median_abs_deviation

    ratios, explained = [], []
    for spread, (value, launches) in zip(found, earlier, strict=True):
        if spread.standard_error is not None and value > 0:
            ratios.append(np.log(spread.mean / value))
            variance = (spread.standard_error / spread.mean) ** 2
            # The mean of a variance with this many degrees of freedom is a little higher.
            variance *= spread.degrees / max(spread.degrees - 2, 1)
            explained.append(variance * (1 + spread.launches / launches))
    if len(ratios) < _FEWEST_FOR_DRIFT:
        return Drift(0.0, _USUAL_SHIFT, _USUAL_SHIFT_DEGREES)
    scale = float(median_abs_deviation(ratios, scale="normal"))
    # Each of the two measurements has its share of the residual and of the shift.
    own = float(np.sqrt(max(scale**2 - float(np.mean(explained)), 0.0) / 2))
    degrees = _USUAL_SHIFT_DEGREES + 1
    change = float(np.median(ratios))
    shift = change**2 / 2
    shared = float(np.sqrt((_USUAL_SHIFT_DEGREES * _USUAL_SHIFT**2 + shift) / degrees))
    return Drift(own, shared, degrees, float(np.exp(change)))


def _prior(variances: NDArray[np.float64], degrees: NDArray[np.float64]) -> tuple[float, float]:
    """Return degrees of freedom and value of the common variance, by moments of the logarithms."""
    from scipy.optimize import brentq
    from scipy.special import digamma, polygamma

    logs = np.log(variances) - digamma(degrees / 2) + np.log(degrees / 2)
    between = float(logs.var(ddof=1) - polygamma(1, degrees / 2).mean())
    # As alike as with a single variance: then the trigamma function's inverse is unbounded.
    if between <= float(polygamma(1, _MOST_DEGREES / 2)):
        return _MOST_DEGREES, float(np.exp(logs.mean()))
    half = brentq(lambda x: float(polygamma(1, x)) - between, 1e-3, _MOST_DEGREES)
    return 2 * half, float(np.exp(logs.mean() + digamma(half) - np.log(half)))
