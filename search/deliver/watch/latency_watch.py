"""Follows latency and errors: requests become blocks, blocks become events."""

from __future__ import annotations

from collections import deque
from functools import lru_cache

import numpy as np

from paretune.search.deliver.watch.e_detector import BASE_RATE
from paretune.search.deliver.watch.event import Event, Kind
from paretune.search.deliver.watch.latency_reference import LatencyReference, median_interval
from paretune.search.deliver.watch.observation import Block, Failed, Request
from paretune.search.deliver.watch.settings import WatchSettings
from paretune.search.deliver.watch.track import Track, Turn

_KEPT_BLOCKS = 1000
"""Blocks that are kept to say by how much latency changed. Chosen by judgement."""


class LatencyWatch:
    """Tells when latency or the share of errors leave what was published.

    Args:
        reference: What was published.
        settings: How to decide.
        kinds: How many kinds of change are watched together: each may make this part of the false
            alarms.

    Attributes:
        last: The last block; ``None`` before the first.
        blocks: Blocks so far.
    """

    def __init__(self, reference: LatencyReference, settings: WatchSettings, kinds: int) -> None:
        self.reference, self._settings = reference, settings
        threshold = kinds * settings.false_alarm_every / reference.block_requests
        self._latency = Track(threshold, settings.spike_s, tests=2)
        self._errors = Track(threshold, settings.spike_s)
        self._pending: list[Request] = []
        self._recent: deque[Block] = deque(maxlen=_KEPT_BLOCKS)
        self._restarted_s: float | None = None
        self.blocks = 0

    @property
    def last(self) -> Block | None:
        """The last block; ``None`` before the first."""
        return self._recent[-1] if self._recent else None

    @property
    def is_degraded(self) -> bool:
        """Whether a change of latency or errors was told that is not over."""
        return self._latency.is_changed or self._errors.is_changed

    @property
    def evidence(self) -> float:
        """The evidence of a change of latency, as a share of what an alarm takes."""
        return self._latency.evidence

    def see(self, request: Request) -> list[Event]:
        """Take a request that was answered, if only with an error."""
        self._pending.append(request)
        if len(self._pending) < self.reference.block_requests:
            return []
        block = self._block()
        self._pending.clear()
        return self.see_block(block)

    def interrupt(self) -> None:
        """Forget the requests of a block that is not full: the service was away in between."""
        self._pending.clear()

    def see_block(self, block: Block) -> list[Event]:
        """Take a block."""
        self.blocks += 1
        self._recent.append(block)
        events = []
        turn = self._latency.see(self.reference.excesses(block), block.start_s, block.end_s)
        if turn is not None:
            events.append(self._latency_event(turn, block))
        total = block.count + block.errors
        has_errors = block.errors > _most_errors(round(total), self._settings.error_share)
        turn = self._errors.see([has_errors], block.start_s, block.end_s)
        if turn is not None:
            events.append(self._errors_event(turn, block))
        return events

    def _block(self) -> Block:
        times = [each.latency_ms for each in self._pending if each.latency_ms is not None]
        return Block(
            self._pending[0].time_s,
            self._pending[-1].time_s,
            len(times),
            float(np.median(times)) if times else float("nan"),
            sum(each > self.reference.slow_ms for each in times),
            sum(each.failed is Failed.ERROR for each in self._pending),
        )

    def _latency_event(self, turn: Turn, block: Block) -> Event:
        length = min(self._latency.length, len(self._recent))
        if turn is Turn.CHANGED:
            text, values = self._slower(list(self._recent)[-length:])
            return self._event(Kind.DEGRADED, "latency", block, self._latency, text, values)
        if turn is Turn.SPIKE:
            during = list(self._recent)[-length - 1 :]
            while len(during) > 1 and not any(self.reference.excesses(during[-1])):
                during.pop()  # those that ended it were calm
            text, values = self._slower(during)
            text = f"{text}; over by itself after {during[-1].end_s - during[0].start_s:.3g} s"
            return self._event(Kind.SPIKE, "latency", block, self._latency, text, values)
        text = f"p50 {block.p50_ms:.4g} ms, as published"
        return self._event(Kind.RECOVERED, "latency", block, self._latency, text)

    def _slower(self, blocks: list[Block]) -> tuple[str, tuple[float, float, float]]:
        """Say how much slower some blocks were than the reference, with the interval.

        The interval joins that of the blocks' median with that of the reference.
        """
        p50 = np.asarray([each.p50_ms for each in blocks if each.count])
        if not len(p50):
            return "no answers", (float("nan"),) * 3
        reference, (low, high) = self.reference.p50_ms, median_interval(p50)
        ratio = float(np.median(p50)) / reference.value
        ends = (low / reference.ends[1], high / reference.ends[0])
        slow = sum(each.slow for each in blocks) / max(1, sum(each.count for each in blocks))
        text = (
            f"p50 {np.median(p50):.4g} ms instead of {reference.value:.4g} ms, {ratio:.2f} × "
            f"({ends[0]:.2f} … {ends[1]:.2f}); {slow:.0%} of the requests took longer than "
            f"{self.reference.slow_ms:.4g} ms, where at most {self.reference.slow_share:.0%} of a "
            "block should"
        )
        return text, (ratio, *ends)

    def _errors_event(self, turn: Turn, block: Block) -> Event:
        total = block.count + block.errors
        text = (
            f"{block.errors:.0f} of the last {total:.0f} requests failed; "
            f"{self._settings.error_share:.2%} may"
        )
        kinds = {Turn.CHANGED: Kind.DEGRADED, Turn.SPIKE: Kind.SPIKE}
        kind = kinds.get(turn, Kind.RECOVERED)
        return self._event(kind, "errors", block, self._errors, text)

    def _event(
        self,
        kind: Kind,
        what: str,
        block: Block,
        track: Track,
        text: str,
        values: tuple[float, float, float] | None = None,
    ) -> Event:
        since = block.start_s if track.since_s is None else track.since_s
        during = list(self._recent)[-max(1, track.length) :]
        requests = round(sum(each.count + each.errors for each in during))
        return Event(kind, what, block.end_s, since, text, requests, *(values or ()))


@lru_cache(maxsize=1024)
def _most_errors(requests: int, share: float) -> float:
    """Return the errors that at most 5 % of blocks of so many requests exceed at a share."""
    from scipy.stats import binom

    return float(binom.ppf(1 - BASE_RATE / 2, max(1, requests), share))
