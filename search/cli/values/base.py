"""The base of what is printed as JSON, and a value with its interval."""

from __future__ import annotations

import json
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field

from paretune.runners.measure.statistic import Statistic


class Values(BaseModel):
    """What a command prints: exactly the documented keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Interval(Values):
    """A value with its 95 % interval, in the unit at the end of its key."""

    value: float = Field(description="The value: a mean over launches, or exact.")
    low: float | None = Field(description="Lower end of the interval; null if there is none.")
    high: float | None = Field(description="Upper end of the interval; null if there is none.")

    @classmethod
    def of(cls, statistic: Statistic) -> Interval:
        """Return a statistic as it is printed."""
        return cls(value=statistic.value, low=statistic.low, high=statistic.high)


def as_json(values: Values | Sequence[Values]) -> str:
    """Return what a command prints; keys that were not set are left out."""
    if isinstance(values, Values):
        return json.dumps(plain(values), indent=2)
    return json.dumps([plain(each) for each in values], indent=2)


def plain(values: Values) -> dict[str, object]:
    """Return values as JSON has them."""
    return values.model_dump(mode="json", exclude_unset=True)
