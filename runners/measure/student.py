"""Quantiles of Student's t distribution, without SciPy: a host that only measures has none."""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist

_NEARLY_NORMAL = 1e4
"""Degrees of freedom from which an expansion around the normal distribution is used: it is off by
less than 1e-9 there, while the beta function loses digits.
"""

_STEPS = 500
"""Most steps of a continued fraction and of a bisection; both end by themselves long before."""

_TINY = 1e-300
"""What replaces 0 as a denominator, in W. J. Lentz's method."""


@lru_cache(maxsize=1024)
def student_quantile(degrees: float, probability: float) -> float:
    """Return the value that a t distributed variable stays below with a probability.

    The distribution's tail is an incomplete beta function (Abramowitz and Stegun, 26.7.1), which is
    inverted by bisection; for many degrees of freedom, the quantile is expanded (26.7.5).

    Args:
        degrees: Degrees of freedom, above 0; may be infinite.
        probability: At least 0.5 and below 1.

    Raises:
        ValueError: If an argument is out of its range.
    """
    if not degrees > 0 or not 0.5 <= probability < 1:
        raise ValueError(
            f"a t quantile needs degrees > 0 and 0.5 ≤ probability < 1, got {degrees} and "
            f"{probability}"
        )
    if degrees >= _NEARLY_NORMAL:
        x = NormalDist().inv_cdf(probability)
        return x + (x**3 + x) / (4 * degrees) + (5 * x**5 + 16 * x**3 + 3 * x) / (96 * degrees**2)
    low, high = 0.0, 1.0
    while _tail(high, degrees) > 1 - probability:
        low, high = high, 2 * high
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        if _tail(middle, degrees) > 1 - probability:
            low = middle
        else:
            high = middle
    return high


def _tail(value: float, degrees: float) -> float:
    """Return the probability of more than a value, which is at least 0."""
    square = value * value
    return _beta(degrees / 2, 0.5, degrees / (degrees + square), square / (degrees + square)) / 2


def _beta(a: float, b: float, x: float, rest: float) -> float:
    """Return the regularized incomplete beta function at x; ``rest`` is 1 - x."""
    if x == 0 or rest == 0:
        return 0.0 if x == 0 else 1.0
    if x > (a + 1) / (a + b + 2):  # where the fraction of the other end converges faster
        return 1 - _beta(b, a, rest, x)
    logarithm = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    front = math.exp(logarithm + a * math.log(x) + b * math.log(rest))
    return front * _fraction(a, b, x) / a


def _fraction(a: float, b: float, x: float) -> float:
    """Return the continued fraction of the incomplete beta function (A. and S., 26.5.8)."""
    d = 1 / (1 - (a + b) * x / (a + 1) or _TINY)
    c, found = 1.0, d
    for m in range(1, _STEPS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        before = found
        for term in (even, odd):
            d = 1 / (1 + term * d or _TINY)
            c = 1 + term / c or _TINY
            found *= c * d
        if abs(found - before) <= 1e-16 * abs(found):
            break
    return found
