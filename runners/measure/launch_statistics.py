"""The statistics of timing metrics over launches."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from paretune.runners.measure.statistic import RESOLUTION, Statistic
from paretune.runners.runtimes.launch import Launch


def summarize(launches: Sequence[Launch], batch_size: int) -> dict[str, Statistic]:
    """Return the statistics of the timing metrics over launches.

    Args:
        launches: At least one.
        batch_size: Samples per call, for the throughput.
    """

    def times(values: Sequence[float]) -> Statistic:
        return Statistic.over_launches(values, RESOLUTION)

    found = {
        f"latency_p{q}_ms": times([launch.percentile(q) for launch in launches])
        for q in (50, 90, 95, 99)
    }
    found["throughput_samples_per_s"] = times(
        [1e3 * batch_size / float(np.mean(launch.latency_ms)) for launch in launches]
    )
    for name in ("session_creation_ms", "first_inference_ms", "cpu_time_ms"):
        found[name] = times([float(getattr(launch, name)) for launch in launches])
    found["peak_memory_bytes"] = Statistic.over_launches(
        [float(launch.peak_memory_bytes) for launch in launches]
    )
    energies = [launch.energy_mj for launch in launches if launch.energy_mj is not None]
    if len(energies) == len(launches):
        found["energy_mj"] = times(energies)
    found |= _of_the_card(launches)
    wholes = [launch.end_to_end for launch in launches if launch.end_to_end is not None]
    if len(wholes) == len(launches):
        for part in ("preprocess", "postprocess", "end_to_end"):
            for q in (50, 95, 99):
                values = [float(np.percentile(getattr(w, f"{part}_ms"), q)) for w in wholes]
                found[f"{part}_latency_p{q}_ms"] = times(values)
    loads = [launch.load for launch in launches if launch.load is not None]
    if len(loads) == len(launches):
        for q in (50, 90, 95, 99):
            found[f"load_latency_p{q}_ms"] = times([load[f"p{q}_ms"] for load in loads])
        found["load_completed_per_s"] = times([load["completed_per_s"] for load in loads])
    return found


def _of_the_card(launches: Sequence[Launch]) -> dict[str, Statistic]:
    """Return what the card said in every launch: memory, clock and temperature."""
    states = [launch.card for launch in launches if launch.card is not None]
    found = {}
    for name, field in (
        ("device_memory_bytes", "memory_bytes"),
        ("sm_clock_mhz", "sm_clock_mhz"),
        ("temperature_c", "temperature_c"),
    ):
        values = [getattr(state, field) for state in states]
        if len(values) == len(launches) and None not in values:
            found[name] = Statistic.over_launches([float(value) for value in values])
    return found
