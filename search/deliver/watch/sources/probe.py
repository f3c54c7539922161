"""The probe: sends the bundle's own samples to a service, one by one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from paretune.search.deliver.watch.observation import Failed, Request


@dataclass(frozen=True)
class Reply:
    """What came back for one sample.

    Attributes:
        latency_ms: From the first byte sent to the last one received; ``None`` if it failed.
        failed: How it failed.
        difference: How the answer differs from the bundle's; empty if it does not.
    """

    latency_ms: float | None
    failed: Failed | None = None
    difference: str | None = None


class Client(Protocol):
    """Asks a service for one sample at a time."""

    @property
    def count(self) -> int:
        """How many samples there are."""

    def ask(self, sample: int) -> Reply:
        """Send a sample and compare the answer. Failures are replies, not exceptions."""


class Probe:
    """Sends samples in turn: some one after the other, then a pause.

    After a pause, caches are cold and processors slow: the first request took a quarter longer than
    in a closed loop after pauses of 0.1 to 1 s, the fifth did not. So the first ones of each group
    check the answer, but their latency does not count.

    Args:
        client: Asks the service.
        every_s: From the start of one group to the start of the next. A group that takes longer
            delays the next one.
        group: Requests in a group.
        waking: How many of its first requests are not timed.
        stop: Ends it when it says so.
        most: Requests to send, at most; ``None`` for no end.
    """

    def __init__(
        self,
        client: Client,
        every_s: float,
        *,
        group: int = 5,
        waking: int = 2,
        stop: Callable[[], bool] = lambda: False,
        most: int | None = None,
    ) -> None:
        self._client, self._every_s = client, every_s
        self._group, self._waking = group, min(waking, group - 1)
        self._stop, self._most = stop, most

    def __iter__(self) -> Iterator[Request]:
        """Yield the requests, each as soon as it is answered."""
        sent, due = 0, time.monotonic()
        while not self._has_ended(sent):
            for place in range(self._group):
                if self._has_ended(sent):
                    return
                reply = self._client.ask(sent % self._client.count)
                sent += 1
                yield Request(
                    time.time(),
                    reply.latency_ms,
                    reply.failed,
                    reply.difference,
                    counts=place >= self._waking,
                )
                if reply.failed is not None:
                    break  # somebody who is away is not asked five times at once
            due = max(due + self._every_s, time.monotonic() - self._every_s)
            while not self._stop() and (left := due - time.monotonic()) > 0:
                time.sleep(min(left, 0.2))

    def _has_ended(self, sent: int) -> bool:
        return self._stop() or (self._most is not None and sent >= self._most)
