"""How a watch decides: its rate of false alarms, and what counts as a spike or a restart."""

from __future__ import annotations

from dataclasses import dataclass

LEARN_REQUESTS = 1000
"""Requests of a reference that is learnt, by default. Evidence: `experiments/benchmarks/watch.py`,
printed in docs/watching.md for several numbers: with 500, false alarms are more than stated.
"""


@dataclass(frozen=True)
class WatchSettings:
    """How a watch decides.

    Attributes:
        false_alarm_every: Requests between two false alarms, on average, at the least.
        tolerance: How much slower is still as published, as a share.
        block_requests: Fewest requests in a block.
        spike_s: A slow time that is over within so many seconds is a spike, not a degradation.
        restart_s: A service that is unreachable for longer is down, and not restarting.
        warm_up: First requests after a restart that are not counted: caches are cold.
        error_share: Share of requests that may fail.
        drift_window: Requests that are compared with the reference's inputs and outputs together.
    """

    false_alarm_every: float = 1_000_000
    tolerance: float = 0.10
    block_requests: int = 20
    spike_s: float = 10.0
    restart_s: float = 60.0
    warm_up: int = 20
    error_share: float = 0.01
    drift_window: int = 200
