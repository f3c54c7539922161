"""The statistics of timing metrics over launches."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from paretune.runners.measure.statistic import RESOLUTION, Statistic
from paretune.runners.metric import (
    ENERGY,
    PEAK_MEMORY,
    PERCENTILES,
    PIPELINE_PERCENTILES,
    THROUGHPUT,
    calls_for,
    latency,
    metric_of,
)
from paretune.runners.runtimes.launch import Launch, percentile

_OF_THE_CARD = {
    "device_memory_bytes": "memory_bytes",
    "sm_clock_mhz": "sm_clock_mhz",
    "temperature_c": "temperature_c",
}
"""What a card says, by the metric it becomes."""


def summarize(
    launches: Sequence[Launch], batch_size: int, first: int | None = None
) -> dict[str, Statistic]:
    """Return the statistics of the metrics of launches that every launch has.

    A percentile is left out if a launch timed too few calls for it (see :func:`calls_for`). The
    table of metrics says whether an interval holds the resolution of times as well.

    Args:
        launches: At least one.
        batch_size: Samples per call, for the throughput: instances × samples ÷ mean time of a call.
        first: How many of them decided how many there are (see :meth:`Statistic.over_launches`).
    """
    each = [_metrics(launch, batch_size) for launch in launches]
    names = [name for name in each[0] if all(name in found for found in each)]
    return {
        name: Statistic.over_launches(
            [found[name] for found in each],
            RESOLUTION if metric_of(name).interval == "timing" else 0.0,
            first,
        )
        for name in names
    }


def _metrics(launch: Launch, batch_size: int) -> dict[str, float]:
    """Return what one launch has, by metric."""
    found = _percentiles("", launch.latency_ms, PERCENTILES)
    found[THROUGHPUT] = 1e3 * launch.instances * batch_size / float(np.mean(launch.latency_ms))
    for name in ("session_creation_ms", "first_inference_ms", "cpu_time_ms"):
        found[name] = float(getattr(launch, name))
    found[PEAK_MEMORY] = float(launch.peak_memory_bytes)
    if launch.energy_mj is not None:
        found[ENERGY] = launch.energy_mj
    for name, field in _OF_THE_CARD.items():
        value = None if launch.card is None else getattr(launch.card, field)
        if value is not None:
            found[name] = float(value)
    if (whole := launch.end_to_end) is not None:
        for part, times in whole.by_metric.items():
            found |= _percentiles(f"{part}_", times, PIPELINE_PERCENTILES)
    if (load := launch.load) is not None:
        found |= {f"load_latency_p{q}_ms": float(load[f"p{q}_ms"]) for q in PERCENTILES}
        found["load_completed_per_s"] = float(load["completed_per_s"])
    return found


def _percentiles(prefix: str, times: Sequence[float], wanted: Sequence[int]) -> dict[str, float]:
    """Return those percentiles of times for which there are calls enough, by metric."""
    return {
        f"{prefix}{latency(f'p{q}')}": percentile(times, q)
        for q in wanted
        if len(times) >= calls_for(q)
    }
