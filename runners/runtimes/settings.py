"""How much is measured: a quick setting for the search, a careful one for published points."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from paretune.runners.metric import USUAL_LATENCY, calls_for, percentile_of

Scenario = Literal["single_stream", "server"]


@dataclass(frozen=True)
class LoadSettings:
    """Queries that are sent to a model at their own pace.

    Attributes:
        scenario: ``server``: queries arrive at random (Poisson) with a rate, and wait if the model
            is busy; ``single_stream``: the next query arrives when the last one is answered.
        queries_per_s: The rate of ``server``; a query is one call with the run's batch size.
        seconds: Seconds of load per launch.
    """

    scenario: Scenario = "server"
    queries_per_s: float | None = None
    seconds: float = 3.0


@dataclass(frozen=True)
class MeasurementSettings:
    """How much is measured. The defaults suit a search; :data:`CAREFUL` suits published points.

    Attributes:
        launches: Minimum launches (fresh processes) per measurement.
        max_launches: Maximum; launches are added up to it until the intervals are tight.
        p50_tolerance: Relative half-width of the p50's interval that counts as tight.
        p95_tolerance: The same for the p95.
        extra_launches: Maximum replacements for disturbed launches.
        warmup_seconds: Maximum warm-up per launch; it ends earlier once timing is steady.
        min_seconds: Minimum timed part per launch.
        min_iterations: Minimum timed calls per launch.
        max_iterations: Maximum timed calls per launch.
        idle_wait_s: Maximum wait for an idle host before measuring anyway.
        timeout_s: Deadline of a step of a launch: to load the model, or one call.
        memory_limit_bytes: Memory limit per launch, for data; nine tenths of the machine's memory
            if ``None``.
        fallback_tolerance: Maximum share of the time of all nodes (on a card, of the nodes
            themselves) on another provider than the requested one; 0 allows no node there.
        load: Load to offer in addition to the closed loop, if any.
    """

    launches: int = 3
    max_launches: int = 3
    p50_tolerance: float = 0.03
    p95_tolerance: float = 0.05
    extra_launches: int = 3
    warmup_seconds: float = 0.5
    min_seconds: float = 0.2
    min_iterations: int = 30
    max_iterations: int = 10_000
    idle_wait_s: float = 5.0
    timeout_s: float = 60.0
    memory_limit_bytes: int | None = None
    fallback_tolerance: float = 0.0
    load: LoadSettings | None = None

    def claiming(self, metrics: Iterable[str] = ()) -> MeasurementSettings:
        """Return the settings with calls enough for percentiles to be claimed.

        Args:
            metrics: Metrics that are objectives or limits. The p95 is always among them, because
                every frontier shows it.
        """
        needed = max(calls_for(percentile_of(name)) for name in (USUAL_LATENCY, *metrics))
        fewest = max(self.min_iterations, needed)
        most = max(self.max_iterations, fewest)
        return replace(self, min_iterations=fewest, max_iterations=most)


CAREFUL = replace(
    MeasurementSettings(),
    launches=5,
    max_launches=20,
    extra_launches=20,
    warmup_seconds=2.0,
    min_seconds=0.5,
    idle_wait_s=60.0,
)
