"""How much a live verification measures."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class LiveSettings:
    """How much is measured.

    Attributes:
        connections: Connections of the one client, one after the other: the replicates.
        warmup_seconds: Most seconds of warm-up per connection; it ends once times are steady.
        min_seconds: Fewest seconds of timed requests per connection.
        min_calls: Fewest timed requests per connection; 200 claim a p99.
        max_calls: Most timed requests per connection.
        pause_seconds: Seconds between the two rounds of times that are saved, or that are not the
            saved ones.
        max_connections: Most requests under way at once, at a rate.
        seed: Of the arrivals.
    """

    connections: int = 5
    warmup_seconds: float = 2.0
    min_seconds: float = 1.0
    min_calls: int = 200
    max_calls: int = 3000
    pause_seconds: float = 20.0
    max_connections: int = 64
    seed: int = 0
