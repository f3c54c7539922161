"""Gains: a model's gains and losses against the study's baseline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from paretune.search.record.history import History

_USUAL_LATENCY = "latency_p95_ms"
_LATENCY = "latency_p"


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
    throughput, size = "throughput_samples_per_s", "size_bytes"
    return Gains(
        latency_metric=latency,
        times_faster=baseline[latency] / metrics[latency],
        throughput_ratio=metrics[throughput] / baseline[throughput],
        quality_change=metrics[quality] - baseline[quality],
        times_smaller=baseline[size] / metrics[size],
    )


def latency_metric(history: History) -> str:
    """Return the first latency among a study's objectives; ``latency_p95_ms`` if there is none."""
    latencies = (goal.metric for goal in history.objectives if _LATENCY in goal.metric)
    return next(latencies, _USUAL_LATENCY)
