"""Grafana: a dashboard of what the rules record, with the published figures as thresholds."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from paretune.search.deliver.service.monitored import Monitored
from paretune.search.deliver.service.point import ServicePoint
from paretune.search.deliver.service.written import write_files
from paretune.search.deliver.target import ExportSettings, TargetRecord
from paretune.search.deliver.targets.prometheus import PERCENTILES
from paretune.search.deliver.watch.settings import WatchSettings

GRAFANA = TargetRecord(
    name="grafana",
    words="a dashboard for Grafana, of what the prometheus target's rules record",
    write="paretune.search.deliver.targets.grafana:write_grafana",
    hint="in Grafana: Dashboards, New, Import, {out}/dashboard.json; the rules are those of "
    "`--target prometheus`",
    settings=("server", "max_latency_ms"),
)

_SCHEMA = 39
"""The version of the dashboard's schema: Grafana 10.3, which later ones read."""

_WIDTH = 12
"""Columns of a panel, of the 24 of the page."""

_HEIGHT = 8
"""Rows of a panel; a row has 30 pixels."""

_SOURCE = {"type": "prometheus", "uid": "${datasource}"}

_GREEN, _YELLOW, _RED = "green", "yellow", "red"


def write_grafana(bundle: Path, out: Path, settings: ExportSettings) -> Path:
    """Write ``dashboard.json``.

    It shows the series that the rules of ``--target prometheus`` record, those of ``paretune watch
    --metrics-port``, and lines at the published p95, the budget and the capacity. The source is
    chosen on the page. Fields follow Grafana's manual (Dashboard JSON model).

    Raises:
        StudyError: If no server is named, or the bundle lacks figures.
    """
    monitored = Monitored.of_point(ServicePoint.of_bundle(bundle, settings))
    labels = monitored.labels
    dashboard = {
        "uid": f"paretune-{labels['digest']}",
        "title": f"{labels['model']}, trial {labels['trial']}",
        "description": f"Published p95: {monitored.origin}.",
        "tags": ["paretune", labels["model"]],
        "schemaVersion": _SCHEMA,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {
            "list": [
                {
                    "name": "datasource",
                    "label": "Data source",
                    "type": "datasource",
                    "query": "prometheus",
                }
            ]
        },
        "panels": _placed(_panels(monitored)),
    }
    write_files(out, {"dashboard.json": json.dumps(dashboard, indent=2, ensure_ascii=False) + "\n"})
    return out / "dashboard.json"


def _panels(monitored: Monitored) -> list[dict[str, Any]]:
    recorded, plan = monitored.recorded, monitored.point.plan
    lines: list[tuple[str, float]] = [(_YELLOW, monitored.highest_p95_ms)]
    if monitored.budget is not None:
        lines.append((_RED, monitored.budget[1]))
    low, high = monitored.p95_ms.ends
    panels = [
        _panel(
            "Latency",
            f"Yellow: the published p95, {low:.4g} to {high:.4g} ms, and 10 % more."
            + (f" Red: the budget of p{monitored.budget[0]}." if monitored.budget else ""),
            "ms",
            {f"p{each}": recorded(f"latency_ms:p{each}") for each in PERCENTILES},
            lines,
        ),
        _panel(
            "Requests per second and replica",
            "Red: the lower end of a replica's capacity within the budget."
            if plan
            else "Run `paretune capacity` and export again for a line at the capacity.",
            "reqps",
            {"rate": f"{recorded('requests_per_s:rate')} / {recorded('replicas:count')}"},
            [(_RED, plan.capacity_per_s.ends[0])] if plan else [],
        ),
    ]
    if monitored.server.queue_sum:
        share = {"queue": recorded("queue:share")}
        title = "Share of a request's time in the queue"
        panels.append(_panel(title, "", "percentunit", share, [(_YELLOW, 0.5)]))
    if monitored.server.failures:
        failed = {"failed": recorded("failures:share")}
        panels.append(_panel("Failed requests", "", "percentunit", failed, [(_RED, 0.01)]))
    trial, digest = monitored.labels["trial"], monitored.labels["digest"]
    own = f'{{trial="{trial}",digest="{digest}"}}'
    ratio = {"p50 ÷ published": f"paretune_watch_p50_ratio{own}"}
    limit = [(_YELLOW, 1 + WatchSettings().tolerance)]
    words = "By `paretune watch --metrics-port`."
    panels.append(_panel("Watch: latency", words, "none", ratio, limit))
    state = {"state": f"paretune_watch_exit_code{own}"}
    words += " 0 as published, 3 degraded, 5 drifted or different answers."
    panels.append(_panel("Watch: state", words, "none", state, [(_RED, 3.0)]))
    return panels


def _panel(
    title: str,
    description: str,
    unit: str,
    series: Mapping[str, str],
    lines: Sequence[tuple[str, float]],
) -> dict[str, Any]:
    """Return a panel of time series with lines at some values."""
    steps: list[dict[str, Any]] = [{"color": _GREEN, "value": None}]
    steps += [{"color": color, "value": value} for color, value in sorted(lines, key=_value)]
    custom = {"thresholdsStyle": {"mode": "line" if lines else "off"}}
    defaults = {
        "unit": unit,
        "min": 0,
        "custom": custom,
        "thresholds": {"mode": "absolute", "steps": steps},
    }
    return {
        "type": "timeseries",
        "title": title,
        "description": description,
        "datasource": _SOURCE,
        "targets": [
            {"refId": chr(ord("A") + place), "expr": text, "legendFormat": name}
            for place, (name, text) in enumerate(series.items())
        ],
        "fieldConfig": {"defaults": defaults, "overrides": []},
    }


def _value(line: tuple[str, float]) -> float:
    return line[1]


def _placed(panels: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the panels with numbers and places, two in a row."""
    return [
        {
            "id": place + 1,
            **panel,
            "gridPos": {
                "x": place % 2 * _WIDTH,
                "y": place // 2 * _HEIGHT,
                "w": _WIDTH,
                "h": _HEIGHT,
            },
        }
        for place, panel in enumerate(panels)
    ]
