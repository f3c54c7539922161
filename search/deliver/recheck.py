"""The recheck: what a point's metrics are when it is picked, beside what was published."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from paretune.runners.measure.measurement import Measurement
from paretune.runners.measure.statistic import Statistic
from paretune.runners.metric import METRICS
from paretune.search.record.trial import TrialRecord
from paretune.search.record.words import format_metric


@dataclass(frozen=True)
class Recheck:
    """A metric measured once more.

    Attributes:
        metric: Its name.
        published: The published value, with the interval in which a repetition is expected.
        measured: The value just now, with such an interval of its own.
    """

    metric: str
    published: Statistic
    measured: Statistic

    @property
    def is_inside(self) -> bool:
        """Whether the value just now is in the published interval."""
        low, high = self.published.ends
        return low <= self.measured.value <= high

    @property
    def text(self) -> str:
        """Both values and the interval in words."""
        values = (self.measured.value, self.published.value, *self.published.ends)
        now, then, low, high = (format_metric(self.metric, value) for value in values)
        place = "inside" if self.is_inside else "outside"
        return f"{self.metric} {now} (published {then}, interval {low} … {high}: {place})"

    def as_dict(self) -> dict[str, float | bool | None]:
        """Return what a manifest says of it."""
        now = self.measured
        return {"value": now.value, "low": now.low, "high": now.high, "inside": self.is_inside}


def rechecks(record: TrialRecord, now: Measurement) -> dict[str, Recheck]:
    """Compare a fresh measurement of a point with what was published of it.

    Args:
        record: The point, with its published values.
        now: What was measured of it just now.

    Returns:
        Each metric that both have and that was published with an interval, by name. Quality is not
        among them: it is not measured again, since it belongs to the file.
    """
    then: Mapping[str, Statistic] = record.measurement.statistics if record.measurement else {}
    return {
        name: Recheck(name, then[name], now.statistics[name].for_repetition())
        for name in METRICS
        if name in now.statistics and name in then and then[name].low is not None
    }
