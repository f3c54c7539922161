"""What ``paretune capacity --json`` prints, and each line of ``paretune watch --json``."""

from __future__ import annotations

import json
from typing import Any

from pydantic import Field

from paretune.search.cli.values.base import Interval, Values
from paretune.search.deliver.capacity.answer import Capacity


class CapacityValues(Values):
    """How many requests per second a model answers within a latency budget."""

    max_latency_ms: float = Field(description="The latency budget of a request.")
    percentile: int = Field(description="The percentile of latency that keeps it, such as 99.")
    instances: int = Field(description="Sessions that serve side by side in one replica.")
    threads: int = Field(description="Threads per instance.")
    max_batch: int = Field(description="Most requests in one call.")
    queue_delay_ms: float = Field(description="Longest time that a call waits for more requests.")
    capacity_per_s: Interval = Field(description="Most requests per second within the budget.")
    latency_ms: dict[str, float] = Field(
        description="Latency by percentile: at the rate that was measured in short loads, or, "
        "without a check, predicted at the capacity."
    )
    call_ms: dict[str, tuple[float, float]] = Field(
        description="p50 and p95 of a call, by number of requests in it."
    )
    start_ms: float = Field(description="From the start of a replica to its first answer.")
    memory_bytes: float = Field(description="Peak memory of a replica.")
    is_measured: bool = Field(description="Whether real load confirmed it; else it is predicted.")
    environment: dict[str, Any] = Field(description="The machine and versions.")
    predicted_per_s: Interval = Field(
        description="The capacity that was predicted for short loads."
    )
    load_seconds: float = Field(description="Seconds of such a load.")
    endless_share: float = Field(description="The capacity in a load without end ÷ that one.")
    checked: dict[str, Any] | None = Field(description="The short loads that were served.")
    ways: list[dict[str, Any]] = Field(description="All ways to serve it that were tried.")
    best_latency: dict[str, Any] = Field(description="The way with the lowest p95 of a call.")
    best_throughput: dict[str, Any] = Field(description="The way with the most requests per s.")
    knee: dict[str, float] = Field(description="The rate beyond which latency costs more.")
    replicas: int = Field(description="Replicas for the rate that was asked for.")
    price_per_hour: float | None = Field(description="What they cost per hour, if known.")
    price_per_million: float | None = Field(description="What a million requests cost.")
    usual_per_s: float = Field(description="The usual rate of one replica.")
    headroom: float = Field(description="How many times that rate a short burst may have.")
    start: Interval = Field(description="`start_ms` with its interval over launches.")
    waiting_for_start: float = Field(description="Requests that arrive while a replica starts.")
    under: list[dict[str, Any]] = Field(description="Latency under bursts or a recorded trace.")
    is_disturbed: bool = Field(description="Whether something else used the machine.")


class EventValues(Values):
    """What a watch tells."""

    kind: str = Field(
        description="`started`, `degraded`, `spike`, `restart`, `drifted`, `different answers`, "
        "`recovered`."
    )
    what: str = Field(description="`latency`, `errors`, `reachability`, `answers`, `inputs` …")
    time: str = Field(description="When it was found, ISO 8601 in UTC.")
    since: str = Field(description="When it began, as far as that can be told.")
    text: str = Field(description="By how much, in words.")
    requests: int = Field(description="Requests from when it began until it was found.")
    p50_ratio: tuple[float, float | None, float | None] | None = Field(
        description="p50 since then ÷ the reference's, with the ends of its interval."
    )


def capacity_values(found: Capacity) -> CapacityValues:
    """Return a capacity as it is printed."""
    return CapacityValues.model_validate_json(json.dumps(found.as_dict()))
