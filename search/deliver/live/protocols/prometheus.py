"""What servers count in Prometheus's format at ``/metrics``: the parts of a request's time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from paretune.search.deliver.live.protocols.http_connection import HttpConnection
from paretune.search.deliver.live.service import Counters, Endpoint
from paretune.spaces import ServiceError


@dataclass(frozen=True)
class _Series:
    """Counters of a server, of which one tells a part of its requests' time.

    Attributes:
        part: The part of a request.
        sums: The counter of time.
        counts: The counter of requests.
        label: The label that names the model.
        per_ms: How much of the counter's unit one millisecond is.
    """

    part: str
    sums: str
    counts: str
    label: str
    per_ms: float


def _histogram(part: str, name: str, label: str, per_ms: float) -> _Series:
    return _Series(part, f"{name}_sum", f"{name}_count", label, per_ms)


_US = 1e3  # microseconds of one millisecond
_S = 1e-3  # seconds of one millisecond
_TRITON = "nv_inference_request_success"
_SERIES = (
    _Series("request", "nv_inference_request_duration_us", _TRITON, "model", _US),
    _Series("queue", "nv_inference_queue_duration_us", _TRITON, "model", _US),
    _Series("compute", "nv_inference_compute_infer_duration_us", _TRITON, "model", _US),
    _histogram("request", "ovms_request_time_us", "name", _US),
    _histogram("queue", "ovms_wait_for_infer_req_time_us", "name", _US),
    _histogram("compute", "ovms_inference_time_us", "name", _US),
    _histogram("request", "model_infer_request_duration", "model", _S),
    _histogram("compute", "request_predict_seconds", "model_name", _S),
)
"""Of Triton, OpenVINO Model Server, MLServer and KServe, by their manuals."""


def prometheus_counters(endpoint: Endpoint) -> Counters:
    """Return what a server's metrics count for a model; empty if it has none that are known."""
    try:
        from prometheus_client.parser import text_string_to_metric_families
    except ImportError:  # the extra `live` is not installed: the split is left out
        return {}
    model = endpoint.model
    try:
        url = (endpoint.metrics_url or endpoint.url).removesuffix("/metrics")
        connection = HttpConnection(replace(endpoint, url=url), "", "/metrics")
        text = connection.get("/metrics").body.decode("utf-8", "replace")
        connection.close()
        samples = [
            (sample.name, sample.labels, sample.value)
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        ]
    except (ServiceError, ValueError):
        return {}

    def total(name: str, label: str) -> Iterator[float]:
        for found, labels, value in samples:
            # A parser of today may add _total to the name of a counter.
            if found in (name, f"{name}_total") and labels.get(label, model) == model:
                yield value

    found = {}
    for each in _SERIES:
        times, counts = (list(total(name, each.label)) for name in (each.sums, each.counts))
        if times and counts:
            found[each.part] = (sum(times) / each.per_ms, sum(counts))
    return found
