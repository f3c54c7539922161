"""The report: one HTML file, without network, for readers who know nothing of the study."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from paretune.search.deliver.choice import points
from paretune.search.record.history import History
from paretune.search.record.search_time import busy_seconds
from paretune.search.record.trial import TrialRecord
from paretune.search.record.words import close_calls_text, format_metric, gain_texts, shown_metrics
from paretune.search.review.frontier_rows import frontier_rows
from paretune.search.review.shortfall import shortfalls

_TEMPLATE = Path(__file__).with_name("html_report.html")
_BUDGETED = "latency_p95_ms"


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
        "budgeted": _BUDGETED,
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
    columns, rows = _table(history)
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
    return text


def _table(history: History) -> tuple[list[str], list[list[str]]]:
    """Return the columns' names and the cells of each row of the frontier."""
    metrics = shown_metrics(history)
    gained = ("× faster", f"Δ {history.quality_metric}", "× smaller")
    rows = []
    for row in frontier_rows(history):
        mark = " (baseline)" if row.number == 0 else ""
        cells = [f"{row.number}{mark}", row.candidate.label]
        cells += [format_metric(metric, row.metrics[metric]) for metric in metrics]
        cells += gain_texts(row.gains) if row.gains else ["", "", ""]
        cells.append("" if row.probability is None else f"{row.probability:.2f}")
        cells.append(", ".join(map(str, row.ties)))
        rows.append(cells)
    return ["trial", "candidate", *metrics, *gained, "P", "ties"], rows


def _stage_seconds(history: History) -> dict[str, float]:
    spent: Counter[str] = Counter()
    for record in history.records:
        spent.update(record.stage_seconds)
    return dict(spent.most_common())


def _hypervolumes(history: History) -> list[tuple[int, float]]:
    """Return trial number and hypervolume so far, for each measured trial."""
    so_far = History(
        history.objectives,
        history.constraints,
        history.quality_metric,
        interest=history.interest,
    )
    found = []
    for record in history.measured:
        so_far.add(record)
        if so_far.hypervolume is not None:
            found.append((record.number, so_far.hypervolume))
    return found
