"""A value with its interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from paretune.runners.measure.student import student_quantile

CONFIDENCE = 0.95
"""Level of every interval: the share of repetitions that it is meant to hold."""

RESOLUTION = 0.01
"""Relative half-width below which times say nothing: two copies of one file differ by that much
because of their memory layout, and so do two runs of a measurement.
"""


@dataclass(frozen=True, slots=True)
class Statistic:
    """A value with its interval.

    Attributes:
        value: Mean over launches: the arithmetic or the geometric one.
        low: Lower end of the 95 % interval; ``None`` with fewer than two launches.
        high: Upper end of the interval.
    """

    value: float
    low: float | None = None
    high: float | None = None

    @property
    def ends(self) -> tuple[float, float]:
        """Both ends of the interval; the value itself if there is none."""
        return (
            self.value if self.low is None else self.low,
            self.value if self.high is None else self.high,
        )

    @classmethod
    def over_launches(
        cls, values: Sequence[float], resolution: float = 0.0, first: int | None = None
    ) -> Statistic:
        """Return mean and interval of one value per launch.

        The t interval over launches covers the variation between launches. Variation between
        measurements is added in quadrature, as the GUM adds uncertainties from other sources ("type
        B"; JCGM 100:2008, 4.3 and 5.1). Times and rates differ by factors, so its ends are as many
        times above the mean as below it, and never below zero, however few launches there are.

        Args:
            values: One value per launch, 0 or above.
            resolution: Relative half-width of the variation that launches of one measurement do not
                show.
            first: How many of the first values decided how many there are, if they did: then these
                alone tell how much values vary. Those that agree by luck would otherwise make few
                launches, whose spread is too small as well (C. Stein, "A two-sample test for a
                linear hypothesis whose power is independent of the variance", 1945).
        """
        mean = float(np.mean(values))
        if len(values) < 2:
            return cls(mean)
        judged = values[: max(2, first or len(values))]
        standard_error = float(np.std(judged, ddof=1)) / len(values) ** 0.5
        return cls.of_mean(mean, standard_error, len(judged) - 1, resolution)

    @classmethod
    def of_mean(
        cls, mean: float, standard_error: float, degrees: float, resolution: float
    ) -> Statistic:
        """Return a mean, 0 or above, with its t interval; see :meth:`over_launches`."""
        if mean == 0:
            return cls(0.0, 0.0, 0.0)
        within = student_quantile(degrees, (1 + CONFIDENCE) / 2) * standard_error / mean
        factor = float(np.exp(np.hypot(within, resolution)))
        return cls(mean, mean / factor, mean * factor)

    @classmethod
    def geometric(cls, values: Sequence[float], resolution: float = 0.0) -> Statistic:
        """Return the geometric mean of one value per launch, with its interval.

        It is the t interval of the logarithms, for values above zero that differ by factors: its
        lower end is above zero, however few launches there are.

        Args:
            values: One value per launch, above zero.
            resolution: As in :meth:`over_launches`.
        """
        logs = np.log(values)
        mean = float(np.exp(np.mean(logs)))
        if len(logs) < 2:
            return cls(mean)
        error = float(np.std(logs, ddof=1)) / len(logs) ** 0.5
        return cls.of_mean(mean, mean * error, len(logs) - 1, resolution)

    def scaled(self, factor: float) -> Statistic:
        """Return the value and the ends of its interval times a factor above zero."""
        low, high = (None if end is None else factor * end for end in (self.low, self.high))
        return Statistic(factor * self.value, low, high)

    def over(self, other: Statistic) -> Statistic:
        """Return this value divided by another, independent one, with the quotient's interval.

        The half-widths of the logarithms are added in quadrature.

        Args:
            other: Above zero, as this one is.

        Returns:
            Without an interval if either has none.
        """
        value = self.value / other.value
        if None in (self.low, self.high, other.low, other.high):
            return Statistic(value)
        (low, high), (other_low, other_high) = self.ends, other.ends
        below = np.hypot(np.log(self.value / low), np.log(other_high / other.value))
        above = np.hypot(np.log(high / self.value), np.log(other.value / other_low))
        return Statistic(value, value / float(np.exp(below)), value * float(np.exp(above)))

    def for_repetition(self) -> Statistic:
        """Return the value with its prediction interval for a repeat of the measurement.

        Both means vary, so it is wider by the square root of two. A confidence interval of the mean
        contains a second mean of as many launches in only 83 % of cases (Hahn and Meeker,
        Statistical Intervals, 1991).
        """
        if self.low is None or self.high is None or self.low <= 0:
            return self
        low, high = (self.value * (end / self.value) ** 2**0.5 for end in (self.low, self.high))
        return Statistic(self.value, low, high)
