"""How much is measured: a cheap setting for the search, a careful one for what is published."""

from dataclasses import dataclass, replace
from typing import Literal

Scenario = Literal["single_stream", "server"]


@dataclass(frozen=True)
class LoadSettings:
    """Queries that are sent to a model whether it is ready or not.

    Attributes:
        scenario: ``server``: queries come at random (Poisson) at a rate, and wait if they must;
            ``single_stream``: the next query comes when the last is answered.
        queries_per_s: The rate of ``server``; a query is one call of the run's batch size.
        seconds: How long a launch offers load.
    """

    scenario: Scenario = "server"
    queries_per_s: float | None = None
    seconds: float = 3.0


@dataclass(frozen=True)
class MeasurementSettings:
    """How much is measured. The defaults suit a search; :data:`CAREFUL` what is published.

    Attributes:
        launches: Fewest fresh processes that each time the artifact.
        max_launches: Most of them; between the two they are added until the intervals are tight.
        p50_tolerance: Half width of the p50's interval, relative to it, that is tight enough.
        p95_tolerance: The same for the p95.
        extra_launches: How many more may replace launches that something disturbed.
        warmup_seconds: Longest warm-up of a launch; it ends earlier once timing is steady.
        min_seconds: Shortest timed part of a launch.
        min_iterations: Fewest timed calls of a launch.
        max_iterations: Most timed calls of a launch.
        idle_wait_s: How long to wait for an idle host before measuring all the same.
        timeout_s: Deadline of a launch.
        memory_limit_bytes: Most data that a launch may hold; nine tenths of the machine's memory
            if ``None``.
        fallback_tolerance: Largest share of the time of all nodes that may be spent on another
            provider than the one asked for; 0 allows no node there.
        load: Load to offer beside the closed loop, if any.
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


CAREFUL = replace(
    MeasurementSettings(),
    launches=5,
    max_launches=20,
    extra_launches=20,
    warmup_seconds=2.0,
    min_seconds=0.5,
    idle_wait_s=60.0,
)
