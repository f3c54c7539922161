"""Gains: a model's gains and losses against the study's baseline."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from paretune.runners.measure.statistic import Statistic
from paretune.runners.metric import SIZE, THROUGHPUT, USUAL_LATENCY, metric_of
from paretune.search.record.history import History
from paretune.search.record.trial import TrialRecord


@dataclass(frozen=True)
class Gains:
    """A model against the baseline, both as measured, each at its own batch size.

    Attributes:
        latency_metric: The metric of the compared latency.
        times_faster: The baseline's latency ÷ the model's, per call: above 1 it is faster. A call
            with a larger batch does more; ``throughput_ratio`` shows how much.
        throughput_ratio: The model's samples per second ÷ the baseline's: above 1 it does more.
        quality_change: The model's quality − the baseline's, in its unit: negative is a loss.
        times_smaller: The baseline's file size ÷ the model's: above 1 it is smaller.
    """

    latency_metric: str
    times_faster: float
    throughput_ratio: float
    quality_change: float
    times_smaller: float


@dataclass(frozen=True)
class Gain:
    """How one of the gains is called and shown.

    Attributes:
        name: The attribute of :class:`Gains`: the column in CSV, JSON and data frames.
        mlflow: The metric in MLflow.
        in_mlflow: Returns the value in MLflow, where filters read better from it.
        head: Its name in tables, with ``{quality}`` for that of the quality; empty if tables leave
            it out.
        text: Returns the value for people.
    """

    name: str
    mlflow: str
    in_mlflow: Callable[[float], float] = float
    head: str = ""
    text: Callable[[float], str] = "{:.1f}×".format

    def title(self, quality: str) -> str:
        """Return its name in tables, with that of the quality."""
        return self.head.format(quality=quality)


GAINS = (
    Gain("times_faster", "speedup_vs_baseline", head="× faster"),
    Gain("throughput_ratio", "throughput_ratio_vs_baseline"),
    Gain(
        "quality_change",
        "quality_drop",
        lambda change: 0.0 - change,
        head="Δ {quality}",
        text=metric_of("").change,
    ),
    Gain("times_smaller", "size_ratio_vs_baseline", lambda ratio: 1.0 / ratio, head="× smaller"),
)
"""Every gain, in the order of tables."""

SHOWN_GAINS = tuple(gain for gain in GAINS if gain.head)


def gains(metrics: Mapping[str, float], baseline: Mapping[str, float], history: History) -> Gains:
    """Return a model's gains against the baseline.

    Both must be of one kind: both from the search, or both from the confirmation.

    Args:
        metrics: The model's metrics, by name, from a measured trial or a confirmed point.
        baseline: The baseline's metrics.
        history: The study, which determines the latency and the quality.

    Raises:
        KeyError: If either lacks a metric, as a skipped trial lacks its quality.
    """
    latency, quality = latency_metric(history), history.quality_metric
    return Gains(
        latency_metric=latency,
        times_faster=baseline[latency] / metrics[latency],
        throughput_ratio=metrics[THROUGHPUT] / baseline[THROUGHPUT],
        quality_change=metrics[quality] - baseline[quality],
        times_smaller=baseline[SIZE] / metrics[SIZE],
    )


def speedup(record: TrialRecord, baseline: TrialRecord, history: History) -> Statistic | None:
    """Return the baseline's latency ÷ a model's with its 95 % interval; ``None`` if unmeasured.

    Both must be of one kind, as for :func:`gains`.
    """
    if record.measurement is None or baseline.measurement is None:
        return None
    name = latency_metric(history)
    own, before = record.measurement.statistics[name], baseline.measurement.statistics[name]
    return before.over(own)


def latency_metric(history: History) -> str:
    """Return the first latency among a study's objectives; ``latency_p95_ms`` if there is none."""
    latencies = (goal.metric for goal in history.objectives if metric_of(goal.metric).is_latency)
    return next(latencies, USUAL_LATENCY)
