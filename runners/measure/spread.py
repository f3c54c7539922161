"""Spread: how far a measurement may be off, learnt from all that was measured together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from paretune.runners.measure.statistic import CONFIDENCE, Statistic

_FEWEST_POINTS = 5
_FEWEST_FOR_DRIFT = 10
_LEAST_SHARE = 1e-5
_USUAL_SHIFT = 0.015
"""Relative standard deviation by which all points move together from one campaign to the next.

Evidence: two campaigns of digits on a virtual machine of two cores, 30 and 70 minutes after the
first, moved the rates of all points by -1.0 % and -2.5 %, and p95 by +3 % and +2 %.
"""
_USUAL_SHIFT_DEGREES = 4.0
"""What that is worth: as if it were known from so many pairs of campaigns."""
_MOST_DEGREES = 1e3


@dataclass(frozen=True, slots=True)
class Spread:
    """How far a mean over launches may be off.

    Attributes:
        mean: The mean.
        launches: How many it is of.
        standard_error: Its standard error, in its unit; ``None`` if nothing tells it.
        degrees: Degrees of freedom of that.
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
    """Return the spread of each point's mean, from what launches of all points differ by.

    A handful of launches tells badly by how much launches differ: five that agree by luck would
    give an interval that the next five miss. But what makes them differ is mostly the machine, and
    all points were measured on it in turns. So each point's relative variance is drawn towards
    that of all, the more, the more the points are alike: moderated variances, by empirical Bayes
    (Smyth, "Linear Models and Empirical Bayes Methods for Assessing Differential Expression in
    Microarray Experiments", 2004, sections 3 and 6.2).

    Args:
        samples: Of each point one positive value a launch.
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
    # A point whose launches agree by chance, to the last digit, must not hide what the others say.
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
    """What changes from one measurement to the next, which launches of one of them do not see.

    Attributes:
        own: Relative standard deviation of each point by itself, beside the launches': neighbours
            on the same processor, other memory.
        shared: That of all points together: the machine is slower this hour. It changes no ranking.
        shared_degrees: Degrees of freedom it is known with.
    """

    own: float
    shared: float
    shared_degrees: float

    def repetition(self, resolution: float) -> float:
        """Return the relative half width to add to an interval over launches.

        Args:
            resolution: The least that a point differs by from one measurement to the next, as a
                relative half width.
        """
        from scipy.special import stdtrit

        shared = float(stdtrit(self.shared_degrees, (1 + CONFIDENCE) / 2)) * self.shared
        return float(np.hypot(max(resolution, 2 * self.own), shared))


def drift(found: Sequence[Spread], earlier: Sequence[tuple[float, int]]) -> Drift:
    """Return how far measurements differ from one campaign to the next.

    Where the points were measured before, what they differ by now tells, less what launches
    explain. Of each point by itself: what is left after all have been brought to one level. Single
    points that were far off before tell nothing: the scale is the median absolute deviation's. Of
    all together: that level itself, which is but one observation and therefore drawn towards what
    machines usually do, as variances in :func:`spreads`.

    Args:
        found: Spreads of a campaign.
        earlier: Of each point the value it had before, and of how many launches; 0 for none.

    Returns:
        The drift. With too few points the own one is 0 and the shared one the usual.
    """
    from scipy.stats import median_abs_deviation

    ratios, explained = [], []
    for spread, (value, launches) in zip(found, earlier, strict=True):
        if spread.standard_error is not None and value > 0:
            ratios.append(np.log(spread.mean / value))
            variance = (spread.standard_error / spread.mean) ** 2
            # The mean of a variance known with so many degrees of freedom is a little more.
            variance *= spread.degrees / max(spread.degrees - 2, 1)
            explained.append(variance * (1 + spread.launches / launches))
    if len(ratios) < _FEWEST_FOR_DRIFT:
        return Drift(0.0, _USUAL_SHIFT, _USUAL_SHIFT_DEGREES)
    scale = float(median_abs_deviation(ratios, scale="normal"))
    # Each of the two measurements has its share of what is left, and of the level.
    own = float(np.sqrt(max(scale**2 - float(np.mean(explained)), 0.0) / 2))
    degrees = _USUAL_SHIFT_DEGREES + 1
    shift = float(np.median(ratios)) ** 2 / 2
    shared = float(np.sqrt((_USUAL_SHIFT_DEGREES * _USUAL_SHIFT**2 + shift) / degrees))
    return Drift(own, shared, degrees)


def _prior(variances: NDArray[np.float64], degrees: NDArray[np.float64]) -> tuple[float, float]:
    """Return degrees of freedom and value of the common variance, by the logarithms' moments."""
    from scipy.optimize import brentq
    from scipy.special import digamma, polygamma

    logs = np.log(variances) - digamma(degrees / 2) + np.log(degrees / 2)
    between = float(logs.var(ddof=1) - polygamma(1, degrees / 2).mean())
    # Alike as if there were but one variance: then the trigamma function's inverse is unbounded.
    if between <= float(polygamma(1, _MOST_DEGREES / 2)):
        return _MOST_DEGREES, float(np.exp(logs.mean()))
    half = brentq(lambda x: float(polygamma(1, x)) - between, 1e-3, _MOST_DEGREES)
    return 2 * half, float(np.exp(logs.mean() + digamma(half) - np.log(half)))
