"""The recorded quantities: names, units, directions and requirements."""

from dataclasses import dataclass
from typing import Literal

Need = Literal["", "pipeline", "load", "energy", "card"]


@dataclass(frozen=True, slots=True)
class Metric:
    """A recorded quantity.

    Attributes:
        name: Its name, unit included.
        description: For people.
        higher_is_better: Its natural direction.
        needs: What it takes to record it: the workload's ``pipeline``, a ``load`` in the study
            file, an ``energy`` counter, a ``card``; nothing if empty.
        is_ratio_scale: Whether only its ratios matter (times, rates, sizes): such a quantity is
            compared, and passed to samplers, as a logarithm.
    """

    name: str
    description: str
    higher_is_better: bool = False
    needs: Need = ""
    is_ratio_scale: bool = True


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("latency_p50_ms", "median time per inference call"),
        Metric("latency_p90_ms", "90th percentile of the time per call"),
        Metric("latency_p95_ms", "95th percentile of the time per call"),
        Metric("latency_p99_ms", "99th percentile of the time per call"),
        Metric("throughput_samples_per_s", "samples per second in a closed loop", True),
        Metric("session_creation_ms", "time to load the model"),
        Metric("first_inference_ms", "time of the first call"),
        Metric("cpu_time_ms", "processor time per call, summed over threads"),
        Metric("peak_memory_bytes", "peak resident memory of the serving process"),
        Metric("size_bytes", "size of the model's files"),
        Metric("energy_mj", "energy per call on its device, in millijoules", needs="energy"),
        Metric(
            "device_memory_bytes", "memory of the card that the process held at most", needs="card"
        ),
        *(
            Metric(f"{part}_latency_p{q}_ms", f"p{q} of the time {what} a batch", needs="pipeline")
            for part, what in (
                ("preprocess", "to pre-process"),
                ("postprocess", "to post-process"),
                ("end_to_end", "from request to answer for"),
            )
            for q in (50, 95, 99)
        ),
        *(
            Metric(
                f"load_latency_p{q}_ms", f"p{q} of the time from when a query was due", needs="load"
            )
            for q in (50, 90, 95, 99)
        ),
        Metric("load_completed_per_s", "queries completed per second under load", True, "load"),
    )
}
