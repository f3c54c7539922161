"""The names of numbers in MLflow: Paretune's own, in groups, by which MLflow sorts its charts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from paretune.runners.metric import FIRST_CALL, FLIPPED, LOADING, is_quality, metric_of, without_end
from paretune.search.record.gains import GAINS

NAMES_TAG = "paretune.names"
"""The tag of a study's run whose metrics have groups."""

GROUPED = "grouped"

CONFIRMED = "confirmed_"
"""How the names of fresh values begin, after their group."""

PROBABILITIES = ("probability_non_dominated", "row_probability")
_GAINS = {gain.mlflow for gain in GAINS}


@dataclass(frozen=True)
class MetricNames:
    """Names in MLflow from Paretune's own: the group, a slash, and the name itself.

    A study that an earlier version began has names without groups, and keeps them: MLflow cannot
    rename a metric, and both would stand side by side.

    Attributes:
        is_grouped: Whether names have groups.
    """

    is_grouped: bool = True

    @classmethod
    def of(cls, tags: Mapping[str, str]) -> MetricNames:
        """Return the names of a study by the tags of its run."""
        return cls(tags.get(NAMES_TAG) == GROUPED)

    def of_metric(self, name: str) -> str:
        """Return the name of a metric, a gain or an end of an interval, fresh or not."""
        plain = name.removeprefix(CONFIRMED)
        if plain in _GAINS:
            return self.within("gain", name)
        if is_quality(plain):  # or an end of an interval
            plain = without_end(plain)
        return self.within(_group(plain), name)

    def of_metrics(self, metrics: Mapping[str, float]) -> dict[str, float]:
        """Return metrics, gains and ends of intervals under their names in MLflow."""
        return {self.of_metric(name): value for name, value in metrics.items()}

    def within(self, group: str, name: str) -> str:
        """Return a name in a group."""
        return f"{group}/{name}" if self.is_grouped else name


def plain_name(name: str) -> str:
    """Return a name in MLflow without its group, if it has one."""
    return name.rpartition("/")[2]


def is_standing(name: str) -> bool:
    """Tell whether a metric in MLflow comes and goes while a study runs."""
    plain = plain_name(name)
    return plain.startswith(CONFIRMED) or plain in _GAINS or plain in PROBABILITIES


def _group(name: str) -> str:
    """Return the group of a metric, by what it tells of a model."""
    metric = metric_of(name)
    if is_quality(name) or name == FLIPPED:
        return "quality"
    if metric.is_latency:
        return "latency"
    if name in (LOADING, FIRST_CALL):
        return "start"
    return "throughput" if metric.unit.endswith("/s") else "resources"
