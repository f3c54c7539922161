"""The metrics endpoint: what a watch knows, for Prometheus to scrape."""

from __future__ import annotations

from typing import TYPE_CHECKING

from paretune.search.deliver.watch.event import Event, Kind
from paretune.search.deliver.watch.listeners.listener import Watched
from paretune.search.deliver.watch.watcher import State
from paretune.spaces import StudyError

if TYPE_CHECKING:
    from prometheus_client import Counter, Gauge

_PREFIX = "paretune_watch"

_GAUGES = {
    "p50_latency_ms": "Median latency of the last block of requests.",
    "reference_p50_latency_ms": "Median latency as published.",
    "limit_p50_latency_ms": "A block whose median latency is higher counts against the service.",
    "p50_ratio": "Median latency of the last block as a multiple of the published one.",
    "requests_per_s": "Requests per second in the last block.",
    "slow_share": "Share of slow requests in the last block.",
    "evidence": "Evidence of a change of latency; an alarm is raised at 1.",
    "exit_code": "0 as published, 3 degraded, 5 drifted or different answers.",
}


class MetricsEndpoint:
    """Serves ``/metrics`` from a thread of its own, by the library prometheus-client.

    Args:
        port: The port; 0 for any that is free.
        watched: What is watched: the labels of every metric.
        address: The address to listen on.

    Attributes:
        port: The port in use.

    Raises:
        StudyError: If the library is not installed, or the port is taken.
    """

    def __init__(self, port: int, watched: Watched, address: str = "0.0.0.0") -> None:
        try:
            import prometheus_client as library
        except ImportError:
            raise StudyError(
                "--metrics-port needs prometheus-client: pip install 'paretune[watch]'"
            ) from None
        registry = library.CollectorRegistry()
        self._labels = watched.labels
        names = list(self._labels)
        self._gauges: dict[str, Gauge] = {
            name: library.Gauge(f"{_PREFIX}_{name}", words, names, registry=registry)
            for name, words in _GAUGES.items()
        }
        self._drift = library.Gauge(
            f"{_PREFIX}_stability_index",
            "Population stability index of an input or output in the last window.",
            [*names, "feature"],
            registry=registry,
        )
        self._events: Counter = library.Counter(
            f"{_PREFIX}_events", "Events by kind.", [*names, "kind", "what"], registry=registry
        )
        for kind in Kind:
            if kind.is_alarm:  # so that increase() sees the first one
                self._events.labels(**self._labels, kind=str(kind), what="latency")
        self._requests: Counter = library.Counter(
            f"{_PREFIX}_requests", "Requests that were seen.", names, registry=registry
        )
        self._told = 0
        try:
            self._server, self._thread = library.start_http_server(port, address, registry)
        except OSError as error:
            raise StudyError(
                f"cannot serve metrics on port {port}: {error.strerror}; give another one with "
                "--metrics-port"
            ) from error
        self.port = int(self._server.server_port)

    def tell(self, event: Event) -> None:
        """Count an event."""
        self._events.labels(**self._labels, kind=str(event.kind), what=event.what).inc()

    def update(self, state: State) -> None:
        """Take the state of the watch."""
        self._requests.labels(**self._labels).inc(state.requests - self._told)
        self._told = state.requests
        for name, value in state.metrics.items():
            self._gauges[name].labels(**self._labels).set(value)
        for feature, index in state.stability_indices.items():
            self._drift.labels(**self._labels, feature=feature).set(index)

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
