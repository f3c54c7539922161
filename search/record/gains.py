"""Gains: what a model gives and costs against the study's baseline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from paretune.search.record.history import History

_USUAL_LATENCY = "latency_p95_ms"
_LATENCY = "latency_p"


@dataclass(frozen=True)
class Gains:
    """A model against the baseline; each is as it was measured, at its own batch size.

    Attributes:
        latency_metric: The latency that is compared.
        times_faster: The baseline's latency ÷ this one's, per call: above 1 it answers sooner. A
            call with a larger batch does more: ``throughput_ratio`` tells how much.
        throughput_ratio: This one's samples per second ÷ the baseline's: above 1 it does more.
        quality_change: This one's quality − the baseline's, in the quality's unit: below 0 it lost.
        times_smaller: The baseline's file size ÷ this one's: above 1 it is smaller.
    """

    latency_metric: str
    times_faster: float
    throughput_ratio: float
    quality_change: float
    times_smaller: float


def gains(metrics: Mapping[str, float], baseline: Mapping[str, float], history: History) -> Gains:
    """Return what a model gives and costs against the baseline.

    Both are to be of one kind: both as the search measured them, or both as confirmation did.

    Args:
        metrics: The metrics of the model, by name: those of a measured trial or a confirmed point.
        baseline: Those of the baseline.
        history: The study, which says what its latency and its quality are.

    Raises:
        KeyError: If either lacks one of the metrics, as a skipped trial lacks its quality.
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
