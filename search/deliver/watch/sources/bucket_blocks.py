"""Blocks from buckets: a histogram's steps, joined until there are enough requests."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from paretune.search.deliver.watch.latency_reference import FEWEST_BLOCKS, LatencyReference
from paretune.search.deliver.watch.observation import Block
from paretune.search.deliver.watch.settings import WatchSettings
from paretune.spaces import StudyError


@dataclass(frozen=True)
class Buckets:
    """The requests of one step, counted by latency.

    Attributes:
        start_s: When the step began, in seconds since 1970.
        end_s: When it ended.
        bounds_ms: Upper bounds of the buckets, ascending; the last one is infinite.
        counts: Requests up to each bound, cumulative.
        has_restarted: Whether the counters began anew in the step.
    """

    start_s: float
    end_s: float
    bounds_ms: tuple[float, ...]
    counts: tuple[float, ...]
    has_restarted: bool = False

    @property
    def total(self) -> float:
        """All requests of the step."""
        return self.counts[-1] if self.counts else 0.0

    def __add__(self, other: Buckets) -> Buckets:
        """Return both together; the other one is the later."""
        counts = tuple(a + b for a, b in zip(self.counts, other.counts, strict=True))
        restarted = self.has_restarted or other.has_restarted
        return Buckets(self.start_s, other.end_s, self.bounds_ms, counts, restarted)

    def quantile_ms(self, share: float) -> float:
        """Return a quantile, interpolated in its bucket as ``histogram_quantile`` does.

        ``nan`` without requests; the highest finite bound for a quantile beyond it.
        """
        if not self.total:
            return float("nan")
        rank, below, least = share * self.total, 0.0, 0.0
        for bound, count in zip(self.bounds_ms, self.counts, strict=True):
            if count >= rank and count > below:
                if math.isinf(bound):
                    return least
                return least + (bound - least) * (rank - below) / (count - below)
            below, least = count, bound if math.isfinite(bound) else least
        return least

    def above(self, limit_ms: float) -> float:
        """Return how many requests took longer, interpolated in the limit's bucket."""
        below, least = 0.0, 0.0
        for bound, count in zip(self.bounds_ms, self.counts, strict=True):
            if limit_ms < bound:
                inside = count - below
                share = 0.0 if math.isinf(bound) else (limit_ms - least) / (bound - least)
                return self.total - below - inside * share
            below, least = count, bound
        return 0.0

    def around(self, latency_ms: float) -> tuple[float, float]:
        """Return the bounds of the bucket that a latency is in."""
        above = [bound for bound in self.bounds_ms if bound >= latency_ms]
        below = [bound for bound in self.bounds_ms if bound < latency_ms]
        return max(below, default=0.0), min(above, default=math.inf)


class BlockMaker:
    """Joins steps until there are as many requests as a block takes.

    Args:
        reference: Says how many these are, and from when on a request is slow.
    """

    def __init__(self, reference: LatencyReference) -> None:
        self._reference = reference
        self._pending: Buckets | None = None

    def add(self, step: Buckets) -> Block | None:
        """Take the next step; return a block if one is full, or the service was started anew."""
        if step.has_restarted:
            self._pending = None
            return Block(step.start_s, step.end_s, 0, math.nan, 0.0, has_restarted=True)
        joined = step if self._pending is None else self._pending + step
        if joined.total < self._reference.block_requests:
            self._pending = joined
            return None
        self._pending = None
        return Block(
            joined.start_s,
            joined.end_s,
            round(joined.total),
            joined.quantile_ms(0.5),
            joined.above(self._reference.slow_ms),
        )


def reference_of_steps(
    steps: Sequence[Buckets], settings: WatchSettings, words: str
) -> LatencyReference:
    """Return the reference of a time in which all was well, as a histogram's steps tell of it.

    Raises:
        StudyError: If there are too few requests.
    """
    blocks: list[Buckets] = []
    pending: Buckets | None = None
    for step in steps:
        if step.has_restarted:
            pending = None
            continue
        pending = step if pending is None else pending + step
        if pending.total >= settings.block_requests:
            blocks.append(pending)
            pending = None
    if len(blocks) < FEWEST_BLOCKS:
        raise StudyError(
            f"a reference takes at least {FEWEST_BLOCKS} steps with {settings.block_requests} "
            f"requests, but {words} have {len(blocks)}: give a longer time with --learn-from"
        )
    whole = blocks[0]
    for block in blocks[1:]:
        whole = whole + block
    p50, p95 = whole.quantile_ms(0.5), whole.quantile_ms(0.95)
    slow_ms = p95 * (1 + settings.tolerance)
    low, high = whole.around(p50)
    if high > p50 * (1 + 2 * settings.tolerance):
        words = f"{words} (its buckets tell nothing between {low:.4g} and {high:.4g} ms)"
    return LatencyReference.of_blocks(
        (p50, p95),
        np.asarray([block.quantile_ms(0.5) for block in blocks]),
        np.asarray([block.above(slow_ms) / block.total for block in blocks]),
        settings.tolerance,
        settings.block_requests,
        words,
    )
