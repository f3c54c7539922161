"""A value with its interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

CONFIDENCE = 0.95

RESOLUTION = 0.01
"""Relative half width below which times say nothing: two copies of one file differ by that much for
where their memory happens to lie, and so does one run of a measurement from the next.
"""


@dataclass(frozen=True, slots=True)
class Statistic:
    """A value with its interval.

    Attributes:
        value: Mean over launches.
        low: Lower end of the 95 % interval; ``None`` with fewer than two launches.
        high: Its upper end.
    """

    value: float
    low: float | None = None
    high: float | None = None

    @property
    def ends(self) -> tuple[float, float]:
        """Both ends of the interval; the value itself where there is none."""
        return (
            self.value if self.low is None else self.low,
            self.value if self.high is None else self.high,
        )

    @classmethod
    def over_launches(cls, values: Sequence[float], resolution: float = 0.0) -> Statistic:
        """Return mean and interval of one value a launch.

        The t interval over launches sees what differs from launch to launch. What differs only
        from one measurement to the next is added in quadrature, as the GUM adds uncertainties that
        are known from elsewhere ("type B"; JCGM 100:2008, 4.3 and 5.1).

        Args:
            values: One value a launch.
            resolution: Relative half width of what launches of one measurement cannot show.
        """
        mean = float(np.mean(values))
        if len(values) < 2:
            return cls(mean)
        standard_error = float(np.std(values, ddof=1)) / len(values) ** 0.5
        return cls.of_mean(mean, standard_error, len(values) - 1, resolution)

    @classmethod
    def of_mean(
        cls, mean: float, standard_error: float, degrees: float, resolution: float
    ) -> Statistic:
        """Return a mean with its t interval; see :meth:`over_launches` for the resolution."""
        from scipy.special import stdtrit

        half = float(stdtrit(degrees, (1 + CONFIDENCE) / 2)) * standard_error
        half = float(np.hypot(half, resolution * mean))
        return cls(mean, mean - half, mean + half)

    def for_repetition(self) -> Statistic:
        """Return the value with the interval in which a second, like measurement is expected.

        Both means vary, so it is wider by the root of two. An interval of the mean holds a second
        mean of as many launches in 83 % of cases only (Hahn and Meeker, Statistical
        Intervals, 1991).
        """
        if self.low is None or self.high is None:
            return self
        low, high = (self.value + 2**0.5 * (end - self.value) for end in (self.low, self.high))
        return Statistic(self.value, low, high)
