"""A point on Kubernetes: resources, probes, and how many replicas when."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from paretune.runners.metric import CPU_TIME
from paretune.search.deliver.service.point import ServicePoint

_MEMORY_FACTOR = 1.5
"""Memory limit ÷ measured memory: allocators fragment, and requests wait. Chosen by judgement."""

_SERVER_BYTES = 512 << 20
"""Bytes of memory for the server around the model. Chosen by judgement."""

_MIB = 1 << 20
"""Bytes in a MiB, the unit of the limits."""

_START_FACTOR = 10
"""Time until a pod that is not ready is restarted ÷ measured start: its node is busy while others
start, and files have to be read from afar. Chosen by judgement.
"""

_SHORTEST_START_S = 60
"""Seconds that a pod has at least until it must be ready. Chosen by judgement."""

_TOLERANCE = 1.1
"""Kubernetes' autoscaler adds nothing while a metric is within 10 % of its target
(``--horizontal-pod-autoscaler-tolerance``), so the target lies that far below the capacity.
"""

_PEAK = 2.0
"""Highest rate ÷ wished rate, unless a peak rate is given. Chosen by judgement."""

_SPARE = 4
"""Most replicas ÷ fewest without a serving plan. Chosen by judgement."""

_CPU_PERCENT = (30, 80)
"""Least and highest target of the processor's utilization, in percent. Chosen by judgement."""

_UNKNOWN_CPU_PERCENT = 60
"""Target of the processor's utilization in percent if no capacity is known. Chosen by judgement."""

_CALM_S = 300
"""Seconds of less load after which replicas are given back: Kubernetes' default, made explicit."""


@dataclass(frozen=True)
class Autoscaling:
    """How the number of replicas follows the load.

    Attributes:
        by: What does it: ``keda`` or ``hpa``.
        fields: The fields of KServe's predictor for it.
        says: What it goes by, in sentences.
    """

    by: str
    fields: Mapping[str, Any]
    says: list[str] = field(default_factory=list)


def kubernetes_name(name: str) -> str:
    """Return a name as Kubernetes takes it: a DNS label that begins with a letter (RFC 1035)."""
    label = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    return (label if label[:1].isalpha() else f"model-{label}")[:63].strip("-")


def container(point: ServicePoint, ready_path: str, port: int) -> dict[str, Any]:
    """Return resources and probes of a container.

    Args:
        point: The point.
        ready_path: The path that answers with HTTP 200 when the model is ready.
        port: Its port.
    """
    memory = math.ceil((point.memory_bytes * _MEMORY_FACTOR + _SERVER_BYTES) / _MIB)
    resources = {"cpu": str(point.cores), "memory": f"{memory}Mi"}
    if point.is_on_nvidia:
        resources["nvidia.com/gpu"] = "1"
    asked = {"path": ready_path, "port": port}
    start_s = max(_SHORTEST_START_S, math.ceil(_START_FACTOR * point.start_ms / 1e3))
    return {
        "resources": {"requests": dict(resources), "limits": dict(resources)},
        "startupProbe": {"httpGet": dict(asked), "periodSeconds": 1, "failureThreshold": start_s},
        "readinessProbe": {"httpGet": asked, "periodSeconds": 5, "failureThreshold": 2},
    }


def replicas(point: ServicePoint) -> tuple[int, int]:
    """Return the fewest and the most replicas.

    Raises:
        StudyError: If a rate is wished without a serving plan.
    """
    fewest, rate = point.replicas, point.settings.rate_per_s
    if point.plan is None or rate is None:
        return fewest, fewest * _SPARE
    return fewest, point.plan.replicas(point.settings.peak_rate_per_s or _PEAK * rate)


def autoscaling(point: ServicePoint, *, by_requests: bool) -> Autoscaling:
    """Return how the number of replicas follows the load.

    With a serving plan and a server that counts requests, KEDA keeps each replica's share of them
    at the measured capacity. KServe passes a value on as KEDA's threshold, whose type is by default
    an average over the replicas (KServe's ``keda_reconciler.go``). Otherwise the processor's
    utilization decides, at that which the capacity causes.

    Args:
        point: The point.
        by_requests: Whether the server is Triton, whose count of requests Prometheus reads.
    """
    calm = {"scaleDown": {"stabilizationWindowSeconds": _CALM_S}}
    if point.plan is not None and by_requests:
        target = point.plan.capacity_per_s.ends[0] / _TOLERANCE
        metric = {
            "backend": "prometheus",
            "serverAddress": "http://prometheus.monitoring.svc.cluster.local:9090",
            "query": f'sum(rate(nv_inference_request_success{{model="{point.name}"}}[1m]))',
        }
        external = {"metric": metric, "target": {"type": "Value", "value": f"{target:.4g}"}}
        says = [
            "KEDA keeps each replica's share of the requests at its capacity, less the 10 % that "
            f"Kubernetes tolerates: {target:.4g} of {point.plan.capacity_per_s.ends[0]:.4g}/s. "
            "Put your Prometheus into serverAddress.",
            f"A new replica answers {point.plan.start_ms:.0f} ms after its process has started: "
            "until then, the others carry its share.",
        ]
        fields = {"metrics": [{"type": "External", "external": external}], "behavior": calm}
        return Autoscaling("keda", {"autoScaling": fields}, says)
    percent, said = _cpu_percent(point)
    target_of_cpu = {"type": "Utilization", "averageUtilization": percent}
    resource = {"name": "cpu", "target": target_of_cpu}
    fields = {"metrics": [{"type": "Resource", "resource": resource}], "behavior": calm}
    return Autoscaling("hpa", {"autoScaling": fields}, [said])


def _cpu_percent(point: ServicePoint) -> tuple[int, str]:
    told = point.manifest.get("metrics", {}).get(CPU_TIME)
    if point.plan is None or told is None:
        return _UNKNOWN_CPU_PERCENT, (
            f"Replicas are added above {_UNKNOWN_CPU_PERCENT} % of the processor, a guess, because "
            "no capacity is known. Run `paretune capacity BUNDLE --max-p99-ms MS` first."
        )
    busy_s = told["value"] / 1e3 / point.measured_batch * point.plan.capacity_per_s.ends[0]
    least, most = _CPU_PERCENT
    percent = min(most, max(least, round(100 * busy_s / point.cores)))
    return percent, (
        f"Replicas are added above {percent} % of the processor: what the model alone takes at its "
        "capacity, by its processor time per sample."
    )
