"""The metrics of model servers: the names that they count latency, requests and queues under."""

from __future__ import annotations

from dataclasses import dataclass

from paretune.spaces.registry import Registry


@dataclass(frozen=True)
class ServerMetrics:
    """What a model server tells Prometheus.

    In each query, ``{model}`` is the model's name.

    Attributes:
        name: The server's name in ``--server NAME``.
        words: Where the names come from.
        buckets: The buckets of the latency's histogram; empty if the server has none.
        unit_ms: Milliseconds in a unit of latency.
        latency_sum: The sum of latencies.
        requests: The counter of requests.
        mean_unit_ms: Milliseconds in a unit of the sum of latencies.
        failures: The counter of failed requests; empty if the server has none.
        requests_with_failures: Whether the counter of requests counts failed ones, too.
        queue_sum: The sum of times in the queue; empty if the server has none.
        queue_of: The sum of which the time in the queue is a part.
    """

    name: str
    words: str
    buckets: str
    unit_ms: float
    latency_sum: str
    requests: str
    mean_unit_ms: float
    failures: str = ""
    requests_with_failures: bool = False
    queue_sum: str = ""
    queue_of: str = ""

    def query(self, text: str, model: str) -> str:
        """Return one of the queries for a model."""
        return text.replace("{model}", model.replace("\\", "\\\\").replace('"', '\\"'))


TRITON = ServerMetrics(
    name="triton",
    words="Triton's user guide, Metrics; the histogram needs `--metrics-config "
    "histogram_latencies=true`, and is of the first response",
    buckets='nv_inference_first_response_histogram_ms_bucket{model="{model}"}',
    unit_ms=1.0,
    latency_sum='nv_inference_request_duration_us{model="{model}"}',
    requests='nv_inference_request_success{model="{model}"}',
    mean_unit_ms=1e-3,
    failures='nv_inference_request_failure{model="{model}"}',
    queue_sum='nv_inference_queue_duration_us{model="{model}"}',
    queue_of='nv_inference_request_duration_us{model="{model}"}',
)

OVMS = ServerMetrics(
    name="ovms",
    words="OpenVINO Model Server, docs/metrics.md; list ovms_wait_for_infer_req_time_us in "
    "`metrics_list`",
    buckets='ovms_request_time_us_bucket{name="{model}"}',
    unit_ms=1e-3,
    latency_sum='ovms_request_time_us_sum{name="{model}"}',
    requests='ovms_request_time_us_count{name="{model}"}',
    mean_unit_ms=1e-3,
    failures='ovms_requests_fail{name="{model}",method=~"ModelInfer|Predict"}',
    queue_sum='ovms_wait_for_infer_req_time_us_sum{name="{model}"}',
    queue_of='ovms_request_time_us_sum{name="{model}"}',
)

MLSERVER = ServerMetrics(
    name="mlserver",
    words="MLServer's user guide, Metrics; of its REST server, whatever the model",
    buckets='rest_server_request_duration_seconds_bucket{path=~"/v2/models/.+/infer"}',
    unit_ms=1e3,
    latency_sum='rest_server_request_duration_seconds_sum{path=~"/v2/models/.+/infer"}',
    requests='rest_server_request_duration_seconds_count{path=~"/v2/models/.+/infer"}',
    mean_unit_ms=1e3,
    failures='model_infer_request_failure_total{model="{model}"}',
    requests_with_failures=True,
)

KSERVE = ServerMetrics(
    name="kserve",
    words="KServe's Python model server, docs of its Prometheus metrics; the predict part",
    buckets='request_predict_seconds_bucket{model_name="{model}"}',
    unit_ms=1e3,
    latency_sum='request_predict_seconds_sum{model_name="{model}"}',
    requests='request_predict_seconds_count{model_name="{model}"}',
    mean_unit_ms=1e3,
)

SERVERS: Registry[ServerMetrics] = Registry(
    "server",
    "paretune.server_metrics",
    tuple(
        f"paretune.search.deliver.watch.sources.server_metrics:{name}"
        for name in ("TRITON", "OVMS", "MLSERVER", "KSERVE")
    ),
)
"""All model servers whose metrics are known."""
