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
    """Sends samples in turn, at a pace.

    Args:
        client: Asks the service.
        every_s: From one request to the next; 0 sends each when the one before is answered. A
            request that takes longer delays the next one.
        stop: Ends it when it says so.
        most: Requests to send, at most; ``None`` for no end.
    """

    def __init__(
        self,
        client: Client,
        every_s: float,
        stop: Callable[[], bool] = lambda: False,
        most: int | None = None,
    ) -> None:
        self._client, self._every_s, self._stop, self._most = client, every_s, stop, most

    def __iter__(self) -> Iterator[Request]:
        """Yield the requests, each as soon as it is answered."""
        sent, due = 0, time.monotonic()
        while not self._stop() and (self._most is None or sent < self._most):
            reply = self._client.ask(sent % self._client.count)
            sent += 1
            yield Request(time.time(), reply.latency_ms, reply.failed, reply.difference)
            due = max(due + self._every_s, time.monotonic() - self._every_s)
            while not self._stop() and (left := due - time.monotonic()) > 0:
                time.sleep(min(left, 0.2))
