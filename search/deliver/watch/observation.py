"""What a source tells of a service: requests one by one, or blocks of them already counted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Failed(StrEnum):
    """How a request failed."""

    UNREACHABLE = "unreachable"
    """Nobody answered: refused, reset or timed out."""

    ERROR = "error"
    """The service answered with an error."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request.

    Attributes:
        time_s: When it was answered (or given up), in seconds since 1970.
        latency_ms: How long it took; ``None`` if it failed.
        failed: How it failed; ``None`` if it was answered.
        difference: For known samples, how the answer differs from the bundle's: empty if it does
            not, ``None`` if it was not compared.
        features: Values of the bundle's features of inputs and outputs (:mod:`.data_reference`), as
            far as they are known: a number, or a class as text.
        counts: Whether its latency counts. The first requests after a pause only wake the service.
    """

    time_s: float
    latency_ms: float | None
    failed: Failed | None = None
    difference: str | None = None
    features: Mapping[str, float | str] = field(default_factory=dict)
    counts: bool = True


@dataclass(frozen=True, slots=True)
class Block:
    """Consecutive requests, summarized.

    Attributes:
        start_s: When the first one was answered, in seconds since 1970.
        end_s: When the last one was answered.
        count: Requests that were answered.
        p50_ms: Their median latency; ``nan`` if none was answered.
        slow: How many of them took longer than the reference's limit of slow requests.
        errors: Requests that the service answered with an error, besides ``count``.
        has_restarted: Whether the service was started anew since the block before.
    """

    start_s: float
    end_s: float
    count: int
    p50_ms: float
    slow: float
    errors: float = 0.0
    has_restarted: bool = False
