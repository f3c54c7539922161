"""Standings: the part of a trial's run in MLflow that changes during its study."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from paretune.search.record.confirmed import Confirmed
from paretune.search.record.gains import gains
from paretune.search.record.history import History
from paretune.search.record.trial import TrialRecord
from paretune.search.review.mlflow.tags import TAG_CHARACTERS, shortfall, truth

_TAGS = (
    "frontier",
    "search_frontier",
    "shortfall",
    "published",
    "same_as",
    "why_not_published",
    "paretune.confirmed_by",
)
_PROBABILITIES = ("probability_non_dominated", "row_probability")
_CONFIRMED = "confirmed_"
_GAIN = "_vs_baseline"
_DROP = "quality_drop"


@dataclass(frozen=True)
class Standing:
    """The standing of a trial in its study.

    Attributes:
        tags: Texts by name, none of them empty. ``frontier`` is the published frontier once the
            study was confirmed, and the search's own until then; ``search_frontier`` is always the
            search's own.
        numbers: Metrics by name, none of them NaN. Names that begin with ``confirmed_`` hold fresh
            values. Gains against the baseline use the search's values under plain names, and the
            fresh values of both under ``confirmed_`` names.
    """

    tags: Mapping[str, str]
    numbers: Mapping[str, float]

    @classmethod
    def said(cls, tags: Mapping[str, str], numbers: Mapping[str, float]) -> Standing:
        """Return the standing in a run, from all of the run's tags and metrics."""
        return cls(
            {name: tags[name] for name in _TAGS if tags.get(name)},
            {
                name: value
                for name, value in numbers.items()
                if _is_standing(name) and not math.isnan(value)
            },
        )

    def changed_to(self, other: Standing) -> Standing:
        """Return the updates that change a run from this standing to another.

        A tag that is no longer valid becomes empty, and a metric NaN: MLflow cannot remove a
        metric.
        """
        tags = {**dict.fromkeys(self.tags, ""), **other.tags}
        numbers = {**dict.fromkeys(self.numbers, math.nan), **other.numbers}
        return Standing(
            {name: value for name, value in tags.items() if self.tags.get(name) != value},
            {name: value for name, value in numbers.items() if self.numbers.get(name) != value},
        )


class Standings:
    """The current standings of a study's trials.

    Args:
        history: The study.
    """

    def __init__(self, history: History) -> None:
        self.history = history
        self.search_frontier = {record.number for record in history.frontier}
        self._confirmed = {point.number: point for point in history.confirmed}
        published = {point.number for point in history.published}
        self._frontier = published if history.confirmed else self.search_frontier

    def of(self, record: TrialRecord) -> Standing:
        """Return the standing of a trial."""
        baseline = self.history.baseline
        tags = {
            "frontier": truth(record.number in self._frontier),
            "search_frontier": truth(record.number in self.search_frontier),
        }
        if text := shortfall(record, self.history):
            tags["shortfall"] = text
        numbers: dict[str, float] = {}
        if record.measurement and baseline is not None:
            numbers |= self._gains(record.metrics, baseline.metrics)
        if (point := self._confirmed.get(record.number)) is not None:
            tags |= _tags(point)
            numbers |= self._fresh(point)
        return Standing(tags, numbers)

    def _fresh(self, point: Confirmed) -> dict[str, float]:
        history, baseline = self.history, self._confirmed.get(0)
        fresh = dict(point.metrics)
        if baseline is not None:
            fresh |= self._gains(point.metrics, baseline.metrics)
        sought = {goal.metric for goal in history.objectives}
        sought |= {limit.metric for limit in history.constraints}
        for name in sought:
            statistic = point.measurement.statistics.get(name)
            if statistic and statistic.low is not None and statistic.high is not None:
                fresh |= {f"{name}_low": statistic.low, f"{name}_high": statistic.high}
        numbers = {f"{_CONFIRMED}{name}": value for name, value in fresh.items()}
        numbers["probability_non_dominated"] = point.probability
        if point.row_probability is not None:
            numbers["row_probability"] = point.row_probability
        return numbers

    def _gains(
        self, metrics: Mapping[str, float], baseline: Mapping[str, float]
    ) -> dict[str, float]:
        found = gains(metrics, baseline, self.history)
        return {
            f"speedup{_GAIN}": found.times_faster,
            f"throughput_ratio{_GAIN}": found.throughput_ratio,
            f"size_ratio{_GAIN}": 1.0 / found.times_smaller,
            _DROP: 0.0 - found.quality_change,
        }


def _tags(point: Confirmed) -> dict[str, str]:
    tags = {
        "published": truth(point.is_published),
        "paretune.confirmed_by": point.measurement.samples,
    }
    if point.same_as is not None:
        tags["same_as"] = str(point.same_as)
    if point.why_not:
        tags["why_not_published"] = point.why_not[:TAG_CHARACTERS]
    return tags


def _is_standing(name: str) -> bool:
    return (
        name.startswith(_CONFIRMED)
        or name.endswith(_GAIN)
        or name == _DROP
        or name in _PROBABILITIES
    )
