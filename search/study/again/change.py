"""What changed since values were published: of each point, and of the machine."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from paretune.runners.measure.statistic import Statistic
from paretune.runners.metric import is_quality, metric_of
from paretune.search.record.confirmed import Confirmed

_SAME = 1e-9
"""Relative difference of two values without an interval, or of two qualities on the same samples,
that counts as none: rounding.
"""


@dataclass(frozen=True)
class Change:
    """A published value beside a fresh one.

    Attributes:
        number: The trial.
        metric: The metric.
        before: What was published, with its prediction interval.
        now: What was measured now, with its own.
    """

    number: int
    metric: str
    before: Statistic
    now: Statistic

    @property
    def ratio(self) -> Statistic:
        """The fresh value ÷ the published one, with a 95 % interval.

        Of a quality, or another metric that is compared by differences, the difference. Published
        intervals are those of a repetition, √2 wider than the uncertainty of each value: so the two
        uncertainties together, in quadrature, are half the sum of the squares of the intervals.
        """
        if not metric_of(self.metric).is_ratio_scale:
            return Statistic(self.now.value - self.before.value)
        value = self.now.value / self.before.value
        if self.now.low is None and self.before.low is None:
            return Statistic(value)
        # By the upper ends: with two launches the lower one may be below zero.
        widths = [math.log(each.ends[1] / each.value) for each in (self.before, self.now)]
        half = math.exp(math.hypot(*widths) / math.sqrt(2))
        return Statistic(value, value / half, value * half)

    @property
    def has_left(self) -> bool:
        """Whether the fresh value is outside the interval that was published for a repetition.

        A quality is exact on the same samples: any other value has left.
        """
        low, high = self.before.ends
        if is_quality(self.metric) or low == high:
            return not math.isclose(self.now.value, self.before.value, rel_tol=_SAME)
        return not low <= self.now.value <= high

    @property
    def text(self) -> str:
        """The change for people."""
        shown, ratio = metric_of(self.metric), self.ratio
        values = f"{shown.text(self.before.value)} → {shown.text(self.now.value)}"
        if not shown.is_ratio_scale:
            return f"{self.metric} {values}"
        interval = "" if ratio.low is None else f", {ratio.ends[0]:.2f} … {ratio.ends[1]:.2f}"
        outside = "; outside what was published" if self.has_left else ""
        return f"{self.metric} {values} ({ratio.value:.2f} ×{interval}{outside})"


def changes(
    before: Sequence[Confirmed], now: Sequence[Confirmed], metrics: Sequence[str]
) -> list[Change]:
    """Return the changes of all points that were measured both times, in order.

    Args:
        before: The published points, with others beside them.
        now: The points that were measured again.
        metrics: The metrics to compare; those that a point lacks are left out.
    """
    old = {point.number: point.measurement.statistics for point in before}
    return [
        Change(
            point.number, metric, old[point.number][metric], point.measurement.statistics[metric]
        )
        for point in now
        if point.number in old
        for metric in metrics
        if metric in old[point.number] and metric in point.measurement.statistics
    ]


def environment_changes(before: Sequence[Confirmed], now: Sequence[Confirmed]) -> list[str]:
    """Return what else is different now, one line each: versions, kernel, governor, its own speed.

    What an earlier version of Paretune did not record cannot be compared, and is left out.
    """
    old = {point.number: point.measurement for point in before}
    pairs = [(old[each.number], each.measurement) for each in now if each.number in old]
    found = dict.fromkeys(
        f"{name}: {then} → {after.environment[name]}"
        for earlier, after in pairs
        for name, then in _known(earlier.environment, after.environment)
    )
    lines = list(found)
    speeds = [after.canary_ms / earlier.canary_ms for earlier, after in pairs]
    if speeds and abs(median(speeds) - 1) > _LEAST_DRIFT:
        lines.append(
            f"the core itself takes {median(speeds):.2f} × as long for the same arithmetic"
        )
    if busy := sum(not after.host_was_idle for _, after in pairs):
        lines.append(
            f"other work ran on this machine while {busy} of {len(pairs)} points were measured: "
            "their intervals are wide, and say less"
        )
    return lines


_LEAST_DRIFT = 0.03
"""Relative change of the canary's time that is told: the spread of launches is 1 to 2 %. Chosen by
judgement.
"""


def _known(before: Mapping[str, str], now: Mapping[str, str]) -> list[tuple[str, str]]:
    return [(name, then) for name, then in before.items() if now.get(name, then) != then]
