"""The report: one HTML file, without network, for readers who know nothing of the study."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from paretune.runners.metric import USUAL_LATENCY, metric_of
from paretune.search.deliver.choice import points
from paretune.search.record.history import History
from paretune.search.record.request_time import request_lines
from paretune.search.record.search_time import busy_seconds
from paretune.search.record.trial import TrialRecord
from paretune.search.record.words import close_calls_text, format_metric, shown_metrics
from paretune.search.review.frontier_rows import frontier_rows, frontier_texts
from paretune.search.review.shortfall import shortfalls

_TEMPLATE = Path(__file__).with_name("html_report.html")


def write_report(history: History, name: str, path: Path) -> None:
    """Write a study's report: frontier under a budget, comparison, failures, time spent.

    Args:
        history: The study, with at least one measured trial.
        name: The study's name.
        path: The HTML file.
    """
    from jinja2 import Environment
    from plotly.offline import get_plotlyjs

    shown = history.as_published()
    choice = {record.number for record in points(history)}
    data = {
        "quality": history.quality_metric,
        "budgeted": USUAL_LATENCY,
        "unit": metric_of(USUAL_LATENCY).unit,
        "metrics": shown_metrics(history),
        "points": [
            _point(record, shown)
            | {"choice": record.number in choice, "shortfalls": shortfalls(record, history)}
            for record in shown.measured
        ],
        "others": "measured in the search only" if history.confirmed else "breaks a limit",
        "stages": _stage_seconds(history),
        "hypervolume": _hypervolumes(history),
    }
    columns, rows = frontier_texts(history)
    templates = Environment(autoescape=True)
    templates.policies["json.dumps_kwargs"] = {"sort_keys": False}
    html = templates.from_string(_TEMPLATE.read_text("utf-8")).render(
        name=name,
        summary=_summary(history),
        columns=columns,
        rows=rows,
        failures=history.failures_by_cause,
        data=data,
        plotly=get_plotlyjs(),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(html, "utf-8")


def _point(record: TrialRecord, history: History) -> dict[str, Any]:
    statistics = record.measurement.statistics if record.measurement else {}
    return {
        "number": record.number,
        "label": record.candidate.label,
        "quantization": record.candidate.build.scheme,
        "frontier": record in history.frontier,
        "baseline": record.number == 0,
        "values": {
            metric: [s.value, s.low, s.high]
            for metric in shown_metrics(history)
            if (s := statistics.get(metric)) is not None
        },
        "texts": {
            metric: format_metric(metric, record.metrics[metric])
            for metric in shown_metrics(history)
            if metric in record.metrics
        },
    }


def _summary(history: History) -> str:
    hours = busy_seconds(history.records) / 3600
    text = (
        f"{len(history.records)} trials ({len(history.measured)} measured, "
        f"{len(history.skipped)} skipped, {len(history.failed)} failed), "
        f"{hours:.2f} h of search.  "
    )
    if history.published:
        text += (
            f"{len(history.published)} points are published: measured again, with quality from "
            f"the test split. {close_calls_text(history)}"
        )
    else:
        text += (
            f"{len(history.frontier)} points are on the search's own frontier; none is confirmed."
        )
    lines = request_lines([row.record for row in frontier_rows(history)], history)
    return " ".join([text, *lines])


def _stage_seconds(history: History) -> dict[str, float]:
    spent: Counter[str] = Counter()
    for record in history.records:
        spent.update(record.stage_seconds)
    return dict(spent.most_common())


def _hypervolumes(history: History) -> list[tuple[int, float]]:
    """Return trial number and hypervolume so far, for each measured trial."""
    so_far = history.empty_copy()
    found = []
    for record in history.measured:
        so_far.add(record)
        if so_far.hypervolume is not None:
            found.append((record.number, so_far.hypervolume))
    return found
