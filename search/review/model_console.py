"""The output for measurements of single model files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from paretune.runners.measure.model_report import ModelReport
from paretune.runners.metric import METRICS
from paretune.search.review.console import console

_OPERATORS = 6
"""Operators that are printed, the slowest first."""

_RAW = {"latency_ms", "end_to_end"}
"""What a launch has for every single call or request."""


def print_reports(reports: Sequence[ModelReport]) -> None:
    """Print a table of metrics with one column per batch size, then operators and bottleneck."""
    if not reports:
        return
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column("")
    for each in reports:
        table.add_column(f"batch {each.run.batch_size}", justify="right")
    for name in METRICS:
        if name not in reports[0].statistics:
            continue
        cells = [each.text_of(name) for each in reports]
        table.add_row(name, *cells)
    table.add_row("launches", *(_launches(each) for each in reports))
    table.add_row("resolved", *("yes" if each.timing.is_resolved else "no" for each in reports))
    first = reports[0]
    on = f"{first.run.runner}, {first.run.execution_provider}, {first.run.intra_op_threads} threads"
    console.print(escape(f"{first.model} on {on}"), soft_wrap=True)
    console.print(table)
    for each in reports:
        console.print(
            f"\nbatch {each.run.batch_size}: {_proof(each)}; {_cost(each)}", soft_wrap=True
        )
        if not each.timing.host_was_idle:
            console.print("the host was never idle")
        console.print(f"bottleneck: {escape(each.bottleneck)}", soft_wrap=True)
        for operator in each.operators[:_OPERATORS]:
            console.print(
                f"  {operator.share:6.1%}  {operator.ms_per_call:9.5f} ms  "
                f"{operator.nodes:3} × {escape(operator.operator)}",
                soft_wrap=True,
            )


def reports_as_json(reports: Sequence[ModelReport], *, raw: bool = True) -> list[dict[str, Any]]:
    """Return all measurements as plain values.

    Args:
        reports: The measurements.
        raw: Whether launches have their raw samples: the time of every call and request.
    """
    left_out = set() if raw else _RAW
    return [
        {
            "model": str(each.model),
            "run": asdict(each.run),
            "statistics": {name: asdict(value) for name, value in each.statistics.items()},
            "is_resolved": each.timing.is_resolved,
            "host_was_idle": each.timing.host_was_idle,
            "contaminated_launches": each.timing.contaminated,
            "launches": [
                {name: value for name, value in asdict(launch).items() if name not in left_out}
                for launch in each.timing.launches
            ],
            "providers": {name: asdict(share) for name, share in each.providers.items()},
            "cost": asdict(each.timing.cost) | {"total_s": each.total_s},
            "operators": [asdict(operator) for operator in each.operators],
            "bottleneck": each.bottleneck,
            "environment": dict(each.environment),
        }
        for each in reports
    ]


def write_histograms(reports: Sequence[ModelReport], path: Path) -> None:
    """Write the latency histograms of all reports, one color per launch, as one HTML file."""
    from plotly.graph_objects import Histogram
    from plotly.subplots import make_subplots

    titles = [f"batch {each.run.batch_size}" for each in reports]
    figure = make_subplots(rows=len(reports), cols=1, subplot_titles=titles)
    for row, each in enumerate(reports, start=1):
        for index, launch in enumerate(each.timing.launches):
            name = f"launch {index}"
            bars = Histogram(x=launch.latency_ms, name=name, opacity=0.6, legendgroup=name)
            figure.add_trace(bars.update(showlegend=row == 1), row=row, col=1)
        figure.update_xaxes(title_text="latency_ms", row=row, col=1)
    figure.update_layout(barmode="overlay", template="plotly_white", title=str(reports[0].model))
    figure.write_html(path, include_plotlyjs=True, config={"displaylogo": False})


def _launches(report: ModelReport) -> str:
    timing = report.timing
    unsteady = sum(not launch.warmup_steady for launch in timing.launches)
    never = f", {unsteady} never steady" if unsteady else ""
    return f"{len(timing.launches)}, {timing.contaminated} disturbed{never}"


def _proof(report: ModelReport) -> str:
    return ", ".join(
        f"{share.nodes} nodes ({share.time_share:.0%} of the time) ran on {name}"
        for name, share in report.providers.items()
    )


def _cost(report: ModelReport) -> str:
    cost = report.timing.cost
    rest = report.total_s - cost.timed_s - cost.starting_s - cost.waiting_s
    return (
        f"took {report.total_s:.1f} s: {cost.timed_s:.1f} timed, {cost.starting_s:.1f} starting "
        f"{cost.processes} processes, "
        f"{cost.waiting_s:.1f} waiting, {rest:.1f} for proof and profile"
    )
