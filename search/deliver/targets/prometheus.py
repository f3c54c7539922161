"""Prometheus: recording and alerting rules with the published figures in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from paretune.search.deliver.service.monitored import NAMESPACE, Monitored
from paretune.search.deliver.service.point import ServicePoint
from paretune.search.deliver.service.written import write_files
from paretune.search.deliver.target import ExportSettings, TargetRecord

PROMETHEUS = TargetRecord(
    name="prometheus",
    words="recording and alerting rules for Prometheus",
    write="paretune.search.deliver.targets.prometheus:write_prometheus",
    hint="promtool check rules {out}/rules.yaml; list it under `rule_files` in prometheus.yml",
    settings=("server", "max_latency_ms"),
)

_WINDOW = "5m"
"""The window of rates: at least four scrapes at Prometheus's usual minute."""

_WARN_AFTER = "10m"
"""How long latency must be outside the published interval."""

_PAGE_AFTER = "5m"
"""How long the budget must be broken."""

_NEAR = 0.9
"""Share of a replica's capacity from which on there is no room for a burst. Chosen by judgement."""

_MOST_QUEUED = 0.5
"""Share of a request's time in the queue from which on replicas are missing. Chosen by
judgement."""

_MOST_FAILED = 0.01
"""Share of requests that may fail, as for `paretune watch`."""

PERCENTILES = (50, 95, 99)
"""The recorded percentiles of latency."""


def write_prometheus(bundle: Path, out: Path, settings: ExportSettings) -> Path:
    """Write ``rules.yaml`` for a Prometheus that scrapes a model server.

    Recorded are latencies in milliseconds, rates, and shares of failures and of time in the queue,
    with the labels ``model``, ``trial`` and ``digest``. Alerts warn when the p95 leaves the
    published interval, when a replica is near its capacity or requests queue, and page when the
    latency budget is broken or requests fail. Expressions follow Prometheus's manual (recording
    rules, histograms), and names its convention ``level:metric:operations``.

    Raises:
        StudyError: If no server is named, or the bundle lacks figures.
    """
    monitored = Monitored.of_point(ServicePoint.of_bundle(bundle, settings))
    rules = {
        "groups": [
            {
                "name": f"{NAMESPACE}-{monitored.point.name}",
                "rules": [*_recorded(monitored), *_alerts(monitored)],
            }
        ]
    }
    text = yaml.safe_dump(rules, sort_keys=False, allow_unicode=True, width=100)
    write_files(out, {"rules.yaml": _head(monitored) + text})
    return out / "rules.yaml"


def _head(monitored: Monitored) -> str:
    manifest, low_high = monitored.point.manifest, monitored.p95_ms.ends
    return (
        f"# Trial {manifest['trial']} of the study {manifest['study']}, served as "
        f"{monitored.point.name}, by the metrics of {monitored.server.name}\n"
        f"# ({monitored.server.words}).\n"
        f"# The published p95, {low_high[0]:.4g} to {low_high[1]:.4g} ms, is of {monitored.origin}."
        f"\n# {monitored.point.origin}\n"
    )


def _recorded(monitored: Monitored) -> list[dict[str, Any]]:
    server, query = monitored.server, monitored.query
    rules = []
    for percentile in PERCENTILES:
        rates = f"sum by (le) (rate({query(server.buckets)}[{_WINDOW}]))"
        expression = f"histogram_quantile({percentile / 100:g}, {rates})"
        rules.append((f"latency_ms:p{percentile}", _scaled(expression, server.unit_ms)))
    requests = f"sum(rate({query(server.requests)}[{_WINDOW}]))"
    spent = f"sum(rate({query(server.latency_sum)}[{_WINDOW}]))"
    rules.append(("latency_ms:mean", _scaled(f"{spent} / {requests}", server.mean_unit_ms)))
    rules.append(("requests_per_s:rate", requests))
    rules.append(("replicas:count", f"count(count by (instance) ({query(server.requests)}))"))
    if server.failures:
        failed = f"(sum(rate({query(server.failures)}[{_WINDOW}])) or vector(0))"
        share = f"{failed} / ({failed} + {requests})"
        if server.requests_with_failures:
            share = f"{failed} / {requests}"
        rules.append(("failures:share", share))
    if server.queue_sum:
        queued = f"sum(rate({query(server.queue_sum)}[{_WINDOW}]))"
        whole = f"sum(rate({query(server.queue_of)}[{_WINDOW}]))"
        rules.append(("queue:share", f"{queued} / {whole}"))
    return [
        {"record": f"{NAMESPACE}:{name}", "expr": text, "labels": monitored.labels}
        for name, text in rules
    ]


def _scaled(expression: str, unit_ms: float) -> str:
    return expression if unit_ms == 1.0 else f"{unit_ms:g} * ({expression})"


def _alerts(monitored: Monitored) -> list[dict[str, Any]]:
    point, recorded = monitored.point, monitored.recorded
    low, high = monitored.p95_ms.ends
    alerts = [
        _alert(
            monitored,
            "ServiceLeavesPublishedLatency",
            f"{recorded('latency_ms:p95')} > {monitored.highest_p95_ms:.6g}",
            _WARN_AFTER,
            "warning",
            "p95 {{ $value | printf `%.3g` }} ms is outside what was published",
            f"Published: {low:.4g} to {high:.4g} ms ({monitored.origin}); 10 % more is tolerated. "
            "`paretune verify BUNDLE --url …` says whether the model, the server or the load is "
            "slower.",
        ),
        _alert(
            monitored,
            "ServiceIsNotScraped",
            f"absent({monitored.query(monitored.server.requests)})",
            _WARN_AFTER,
            "warning",
            "Prometheus has no requests of this model",
            "The server is down, is not scraped, or serves the model under another name.",
        ),
    ]
    if monitored.budget is not None:
        percentile, budget_ms = monitored.budget
        shown = min((p for p in PERCENTILES if p >= percentile), default=PERCENTILES[-1])
        alerts.append(
            _alert(
                monitored,
                "ServiceBreaksItsBudget",
                f"{recorded(f'latency_ms:p{shown}')} > {budget_ms:.6g}",
                _PAGE_AFTER,
                "page",
                f"p{shown} {{{{ $value | printf `%.3g` }}}} ms is above the budget",
                f"The budget is {budget_ms:g} ms at p{percentile}.",
            )
        )
    if point.plan is not None:
        least = point.plan.capacity_per_s.ends[0]
        rate = f"{recorded('requests_per_s:rate')} / {recorded('replicas:count')}"
        alerts.append(
            _alert(
                monitored,
                "ServiceIsNearItsCapacity",
                f"{rate} > {_NEAR * least:.6g}",
                _WARN_AFTER,
                "warning",
                "{{ $value | printf `%.3g` }} requests/s per replica are near its capacity",
                f"A replica holds {least:.4g} requests/s at the least with p"
                f"{point.plan.percentile} ≤ {point.plan.max_latency_ms:g} ms. Add replicas: "
                f"rate ÷ {least:.4g}.",
            )
        )
    if monitored.server.failures:
        alerts.append(
            _alert(
                monitored,
                "ServiceFails",
                f"{recorded('failures:share')} > {_MOST_FAILED}",
                _PAGE_AFTER,
                "page",
                "{{ $value | humanizePercentage }} of the requests fail",
                "Errors of the server, not of its callers.",
            )
        )
    if monitored.server.queue_sum:
        alerts.append(
            _alert(
                monitored,
                "ServiceQueues",
                f"{recorded('queue:share')} > {_MOST_QUEUED}",
                _WARN_AFTER,
                "warning",
                "requests spend {{ $value | humanizePercentage }} of their time in the queue",
                "More replicas or instances shorten it; a faster model does little.",
            )
        )
    return alerts


def _alert(
    monitored: Monitored,
    name: str,
    expression: str,
    after: str,
    severity: str,
    summary: str,
    description: str,
) -> dict[str, Any]:
    labels = monitored.labels
    return {
        "alert": name,
        "expr": expression,
        "for": after,
        "labels": {"severity": severity, **labels},
        "annotations": {
            "summary": f"{labels['model']}, trial {labels['trial']}: {summary}",
            "description": description,
        },
    }
