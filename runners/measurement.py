"""What a runner returns: launches, and the statistics over them.

Launches, not iterations, are the replicates: the spread from process to process dwarfs the spread
within one, so an interval over iterations would be far too narrow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from spaces import RunSpec

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Metric:
    """A recorded quantity.

    Attributes:
        name: Its name, unit included.
        higher_is_better: Its natural direction.
        is_ratio_scale: Whether only its ratios matter (times, rates, sizes): such a quantity is
            compared, and told to samplers, as a logarithm.
        description: What it is, for a person.
    """

    name: str
    higher_is_better: bool
    is_ratio_scale: bool
    description: str


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("latency_p50_ms", False, True, "median time of one inference call"),
        Metric("latency_p90_ms", False, True, "90th percentile of the time of one call"),
        Metric("latency_p95_ms", False, True, "95th percentile of the time of one call"),
        Metric("latency_p99_ms", False, True, "99th percentile of the time of one call"),
        Metric("throughput_samples_per_s", True, True, "samples a second in a closed loop"),
        Metric("session_creation_ms", False, True, "time to load the model"),
        Metric("first_inference_ms", False, True, "time of the first call"),
        Metric("peak_memory_bytes", False, True, "peak resident memory of the serving process"),
        Metric("size_bytes", False, True, "size of the model file"),
    )
}


@dataclass(frozen=True, slots=True)
class Statistic:
    """A value with its interval.

    Attributes:
        value: Mean over launches.
        low: Lower end of the 95 % t interval over launches; ``None`` with fewer than two.
        high: Its upper end.
    """

    value: float
    low: float | None = None
    high: float | None = None

    @classmethod
    def over_launches(cls, values: Sequence[float]) -> Statistic:
        """Return mean and t interval of one value a launch."""
        mean = float(np.mean(values))
        if len(values) < 2:
            return cls(mean)
        from scipy.special import stdtrit

        standard_error = float(np.std(values, ddof=1)) / len(values) ** 0.5
        half = float(stdtrit(len(values) - 1, (1 + CONFIDENCE) / 2)) * standard_error
        return cls(mean, mean - half, mean + half)


@dataclass(frozen=True, slots=True)
class Launch:
    """One fresh process that loaded the artifact and timed it.

    Attributes:
        session_creation_ms: Time to load the model.
        first_inference_ms: Time of the first call.
        warmup_iterations: Calls until timing was steady.
        warmup_steady: Whether it became steady in the time allowed.
        latency_ms: Time of each timed call, in order.
        cpu_share: CPU time over wall time while timing, per thread.
        involuntary_switches_per_iteration: How often it was pushed off its core.
        peak_memory_bytes: Peak resident memory.
    """

    session_creation_ms: float
    first_inference_ms: float
    warmup_iterations: int
    warmup_steady: bool
    latency_ms: tuple[float, ...]
    cpu_share: float
    involuntary_switches_per_iteration: float
    peak_memory_bytes: int

    def is_contaminated(self, undisturbed_share: float = 1.0) -> bool:
        """Tell whether something else took the core while it was timing.

        Args:
            undisturbed_share: The CPU share of a launch that nothing disturbs: 1 with one thread;
                with more it depends on whether the runtime's idle threads spin.
        """
        kept_waiting = self.cpu_share < 0.9 * undisturbed_share
        return kept_waiting or self.involuntary_switches_per_iteration > 0.1

    def percentile(self, q: float) -> float:
        """Return the q-th percentile of the timed calls, in milliseconds."""
        return float(np.percentile(self.latency_ms, q))


@dataclass(frozen=True)
class Measurement:
    """What a runner found out about an artifact run one way.

    Attributes:
        run: How it was run.
        artifact: Digest of the file.
        statistics: Every metric of :data:`METRICS`, and the workload's quality metric.
        launches: Number of launches behind the statistics.
        contaminated_launches: Launches that something disturbed. They were replaced, unless the
            machine was not quiet long enough; then the least disturbed count.
        is_steady: Whether timing had become steady in every launch that counts.
        is_resolved: Whether the intervals of p50 and p95 are as tight as asked for.
        host_was_idle: Whether nothing else was running when it began.
        nodes_by_provider: Nodes that each execution provider ran, from the runtime's own profile.
        samples: Digest of the raw samples: an ``.npz`` file with every timed call, by launch.
        environment: The machine and the versions it was measured with.
    """

    run: RunSpec
    artifact: str
    statistics: Mapping[str, Statistic]
    launches: int
    contaminated_launches: int
    is_steady: bool
    is_resolved: bool
    host_was_idle: bool
    nodes_by_provider: Mapping[str, int]
    samples: str
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def metrics(self) -> dict[str, float]:
        """The value of each metric, by name."""
        return {name: statistic.value for name, statistic in self.statistics.items()}

    def as_dict(self) -> dict[str, Any]:
        """Return plain nested values, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Measurement:
        """Undo :meth:`as_dict`."""
        statistics = {name: Statistic(**value) for name, value in values["statistics"].items()}
        return cls(**{**values, "run": RunSpec(**values["run"]), "statistics": statistics})


def summarize(launches: Sequence[Launch], batch_size: int) -> dict[str, Statistic]:
    """Return the statistics of the timing metrics over launches.

    Args:
        launches: At least one.
        batch_size: Samples in one call, for the throughput.
    """
    statistics = {
        f"latency_p{q}_ms": Statistic.over_launches([launch.percentile(q) for launch in launches])
        for q in (50, 90, 95, 99)
    }
    statistics["throughput_samples_per_s"] = Statistic.over_launches(
        [1e3 * batch_size / float(np.mean(launch.latency_ms)) for launch in launches]
    )
    for name in ("session_creation_ms", "first_inference_ms", "peak_memory_bytes"):
        values = [float(getattr(launch, name)) for launch in launches]
        statistics[name] = Statistic.over_launches(values)
    return statistics
