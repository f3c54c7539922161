"""A client of a served model that sends the bundle's samples and compares the answers."""

from __future__ import annotations

import time
from contextlib import suppress

from paretune.search.deliver.live.answers import answers_differ
from paretune.search.deliver.live.bundle_requests import BundleRequests
from paretune.search.deliver.live.service import (
    Connection,
    RefusedRequestError,
    Service,
)
from paretune.search.deliver.watch.observation import Failed
from paretune.search.deliver.watch.sources.probe import Reply
from paretune.spaces import ServiceError

_NO_ANSWER = ("502", "503", "504", "UNAVAILABLE", "DEADLINE_EXCEEDED")
"""What a proxy, or gRPC, says when nobody answers behind it."""


class ServiceClient:
    """Asks a service by one connection, and opens another one after a failure.

    Args:
        service: The service.
        requests: The bundle's samples; each request has as few of them as the model takes.
    """

    def __init__(self, service: Service, requests: BundleRequests) -> None:
        self._service, self._requests = service, requests
        self._rows = requests.rows(requests.sizes[0])
        self._messages: dict[int, bytes] = {}
        self._connection: Connection | None = None

    @property
    def count(self) -> int:
        """How many different requests there are."""
        return len(self._rows)

    def ask(self, sample: int) -> Reply:
        """Send a request; its time is from the first byte sent to the last one received."""
        rows = self._rows[sample]
        if sample not in self._messages:
            feed = self._requests.feed(rows)
            self._messages[sample] = self._service.encode(feed, self._requests.asked)
        try:
            if self._connection is None:
                self._connection = self._service.connect()
            begin = time.perf_counter_ns()
            answer = self._connection.ask(self._messages[sample])
            latency_ms = (time.perf_counter_ns() - begin) / 1e6
            text = answers_differ(self._service, self._requests, [rows], [answer])
        except RefusedRequestError as error:
            is_away = error.status in _NO_ANSWER
            return Reply(None, Failed.UNREACHABLE if is_away else Failed.ERROR)
        except ServiceError:
            self.close()
            return Reply(None, Failed.UNREACHABLE)
        return Reply(latency_ms, None, text)

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            with suppress(Exception):  # it is broken already
                self._connection.close()
        self._connection = None
