"""The result of confirmation for a point: the values that are published."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from paretune.runners.measure.measurement import Measurement

CLOSE_CALL = 0.5
"""Unpublished points with at least this probability are listed below the table."""


@dataclass(frozen=True)
class Confirmed:
    """A trial that was measured again.

    Attributes:
        number: The trial's number.
        measurement: The fresh measurement, with the quality on the test split; every metric has its
            interval.
        probability: The probability that no other confirmed feasible point dominates it.
        is_published: Whether it stands for a row of the published frontier.
        same_as: The published trial whose row it shares: the two cannot be told apart in all
            objectives together. ``None`` if there is none.
        row_probability: For a published point, the probability that at least one point of its row
            is dominated by no confirmed feasible point. ``None`` for all others.
        why_not: Why it is neither published nor a tie; empty if it is.
        resampled: Its quality on bootstrap samples of the test split; the same samples for every
            point of a confirmation, so that points are compared sample by sample. May be empty.
    """

    number: int
    measurement: Measurement
    probability: float
    is_published: bool
    same_as: int | None = None
    row_probability: float | None = None
    why_not: str = ""
    resampled: tuple[float, ...] = ()

    @property
    def metrics(self) -> dict[str, float]:
        """The value of each metric, by name."""
        return self.measurement.metrics

    def as_dict(self) -> dict[str, Any]:
        """Return plain nested values, ready for JSON."""
        return {
            **vars(self),
            "measurement": self.measurement.as_dict(),
            "resampled": list(self.resampled),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Confirmed:
        """Undo :meth:`as_dict`."""
        fields = {**values, "measurement": Measurement.from_dict(values["measurement"])}
        return cls(**fields | {"resampled": tuple(values.get("resampled", ()))})
