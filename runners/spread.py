"""Spread: how far a measurement may be off, learnt from all that was measured together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runners.statistic import Statistic

_FEWEST_POINTS = 5
_FEWEST_FOR_DRIFT = 10
_LEAST_SHARE = 1e-5
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


def drift(found: Sequence[Spread], earlier: Sequence[tuple[float, int]]) -> float:
    """Return the relative standard deviation from one measurement to the next, beside launches'.

    Launches of one campaign do not see what changes between campaigns: neighbours on the same
    processor, its temperature, other memory. Where the points were measured before, what they
    differ by now tells, less what launches explain. What all share (the machine is slower now) is
    no part of it: it changes no ranking. Single points that were far off before tell nothing: the
    scale is the median absolute deviation's.

    Args:
        found: Spreads of a campaign.
        earlier: Of each point the value it had before, and of how many launches; 0 for none.

    Returns:
        That deviation, 0 if launches explain everything or there are too few points.
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
        return 0.0
    scale = float(median_abs_deviation(ratios, scale="normal"))
    # Each of the two measurements has its share of what is left.
    return float(np.sqrt(max(scale**2 - float(np.mean(explained)), 0.0) / 2))


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
