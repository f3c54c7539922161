"""What confirmation found out about a point: the values that are published."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runners.measurement import Measurement

LIKELY = 0.5
"""Probability from which a point may be on the frontier rather than not."""


@dataclass(frozen=True)
class Confirmed:
    """A trial measured again.

    Attributes:
        number: The trial's number.
        measurement: The fresh measurement, with the quality on the test split; every metric has its
            interval.
        probability: How likely nothing else that was confirmed dominates it, all noise considered.
        is_published: Whether it belongs to the published frontier.
        same_as: The published trial that it cannot be told apart from in any objective, if any.
    """

    number: int
    measurement: Measurement
    probability: float
    is_published: bool
    same_as: int | None = None

    @property
    def metrics(self) -> dict[str, float]:
        """The value of each metric, by name."""
        return self.measurement.metrics

    def as_dict(self) -> dict[str, Any]:
        """Return plain nested values, ready for JSON."""
        return {**vars(self), "measurement": self.measurement.as_dict()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Confirmed:
        """Undo :meth:`as_dict`."""
        return cls(**{**values, "measurement": Measurement.from_dict(values["measurement"])})
