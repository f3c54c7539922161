"""The serving plan: how a replica serves a point, and the load that it holds within a budget."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from paretune.runners.measure.statistic import Statistic
from paretune.search.deliver.bundle_folder import read_versioned

PLAN = "serving.json"
"""The plan's file in a bundle."""

PLAN_VERSION = 1
"""Raise it when a reader of older plans would misread a new one."""

_VERSION = "serving_plan_version"


@dataclass(frozen=True)
class ServingPlan:
    """How one replica serves a point, and the load that it holds within a latency budget.

    A request is one sample. Its latency counts from when it was due, so that it has its time in the
    queue, too.

    Attributes:
        max_latency_ms: The latency budget of a request.
        percentile: The percentile of latency that keeps it, such as 99.
        instances: Sessions that serve side by side in one replica.
        threads: Threads of an operator, per instance; ``instances * threads`` cores are used.
        max_batch: Most requests in one call.
        queue_delay_ms: Longest time for which a call waits for more requests.
        capacity_per_s: The highest rate of requests (Poisson) that keeps the budget, with its
            interval.
        latency_ms: Percentiles of a request's latency at that rate, by percentile (50, 95, 99).
        call_ms: The p50 and the p95 of a call while all instances work, by number of requests in
            it: ``{1: (p50, p95)}``.
        start_ms: From the start of the process to the first answer.
        memory_bytes: Peak resident memory of the replica.
        is_measured: Whether real load confirmed the capacity; otherwise it is predicted from the
            times of calls.
        environment: The machine and versions that it was measured with.
    """

    max_latency_ms: float
    percentile: int
    instances: int
    threads: int
    max_batch: int
    queue_delay_ms: float
    capacity_per_s: Statistic
    latency_ms: Mapping[int, float]
    call_ms: Mapping[int, tuple[float, float]]
    start_ms: float
    memory_bytes: float
    is_measured: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def cores(self) -> int:
        """Processor cores of one replica."""
        return self.instances * self.threads

    def replicas(self, rate_per_s: float) -> int:
        """Return how many replicas hold a rate, by the lower end of the capacity's interval."""
        return max(1, math.ceil(rate_per_s / self.capacity_per_s.ends[0]))

    def save(self, folder: Path) -> Path:
        """Write it into a bundle's folder, and return the file."""
        path = folder / PLAN
        values = {_VERSION: PLAN_VERSION, **asdict(self)}
        path.write_text(json.dumps(values, indent=2) + "\n", "utf-8")
        return path

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ServingPlan:
        """Return the plan from plain values, as :meth:`save` writes them beside the version."""
        calls = {int(size): tuple(times) for size, times in values["call_ms"].items()}
        latency = {int(q): float(value) for q, value in values["latency_ms"].items()}
        capacity = Statistic(**values["capacity_per_s"])
        restored = {"call_ms": calls, "latency_ms": latency, "capacity_per_s": capacity}
        return cls(**{**values, **restored})

    @classmethod
    def of_bundle(cls, folder: Path) -> ServingPlan | None:
        """Return a bundle's plan, or ``None`` if ``paretune capacity`` was not run on it.

        Raises:
            StudyError: If this version cannot read it.
        """
        remedy = f"run `paretune capacity {folder} --max-p99-ms …` again"
        return read_versioned(folder / PLAN, _VERSION, PLAN_VERSION, cls.from_dict, remedy)
