"""The recheck: a point's metrics when it is picked, compared with the published ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from paretune.runners.measure.measurement import Measurement
from paretune.runners.measure.statistic import Statistic
from paretune.runners.metric import METRICS
from paretune.search.record.trial import TrialRecord
from paretune.search.record.words import format_metric, interval_text


@dataclass(frozen=True)
class Recheck:
    """A metric that was measured again.

    Attributes:
        metric: Its name.
        published: The published value, with its prediction interval.
        measured: The new value, with its own prediction interval.
    """

    metric: str
    published: Statistic
    measured: Statistic

    @property
    def is_inside(self) -> bool:
        """Whether the new value is in the published interval."""
        low, high = self.published.ends
        return low <= self.measured.value <= high

    @property
    def text(self) -> str:
        """Both values and the interval in words."""
        values = (self.measured.value, self.published.value)
        now, then = (format_metric(self.metric, value) for value in values)
        interval = interval_text(self.metric, self.published)
        place = "inside" if self.is_inside else "outside"
        return f"{self.metric} {now} (published {then}, interval {interval}: {place})"

    def as_dict(self) -> dict[str, float | bool | None]:
        """Return it as plain values for a manifest."""
        now = self.measured
        return {"value": now.value, "low": now.low, "high": now.high, "inside": self.is_inside}


def rechecks(record: TrialRecord, now: Measurement) -> dict[str, Recheck]:
    """Compare a new measurement of a point with its published values.

    Args:
        record: The point, with its published values.
        now: Its new measurement.

    Returns:
        Each metric that both have and that was published with an interval, by name. Quality is not
        included: it belongs to the file and is not measured again.
    """
    then: Mapping[str, Statistic] = record.measurement.statistics if record.measurement else {}
    return {
        name: Recheck(name, then[name], now.statistics[name].for_repetition())
        for name in METRICS
        if name in now.statistics and name in then and then[name].low is not None
    }
