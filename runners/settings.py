"""How much is measured: a cheap setting for the search, a careful one for what is published."""

from dataclasses import dataclass, replace


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
    """

    launches: int = 3
    max_launches: int = 3
    p50_tolerance: float = 0.03
    p95_tolerance: float = 0.05
    extra_launches: int = 3
    warmup_seconds: float = 1.0
    min_seconds: float = 0.2
    min_iterations: int = 30
    max_iterations: int = 10_000
    idle_wait_s: float = 5.0
    timeout_s: float = 60.0


CAREFUL = replace(
    MeasurementSettings(),
    launches=5,
    max_launches=20,
    extra_launches=20,
    warmup_seconds=2.0,
    min_seconds=0.5,
    idle_wait_s=60.0,
)
