"""The interactive picture of a frontier."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paretune.runners.metric import metric_of
from paretune.search.record.history import History
from paretune.search.record.objective import Objective, losses
from paretune.search.record.pareto import non_dominated
from paretune.search.record.trial import TrialRecord
from paretune.search.record.words import format_metric, shown_metrics
from paretune.spaces import SCHEMES

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

_FRONTIER_LINE = "#c23b5a"


def pareto_figure(history: History, name: str, *, searched: bool = False) -> Figure:
    """Return an interactive figure of all measured trials, for one pair of objectives at a time.

    After a confirmation, confirmed points have their fresh values and the frontier is the published
    one, unless the search's own is requested. The color is the quantization; a ring marks the
    frontier over all objectives, a star the baseline; bars are 95 % intervals; the line connects
    the best points in the two objectives shown. After a confirmation the line runs through
    confirmed points only, and other points are hollow: their values are the search's, with quality
    from the validation split.
    """
    from plotly.graph_objects import Figure

    is_published = bool(history.published) and not searched
    history = history.as_published() if is_published else history
    pairs = [(x, y) for y, x in itertools.combinations(history.objectives, 2)] or [
        (history.objectives[0], history.objectives[0])
    ]
    views = [_traces(history, x, y) for x, y in pairs]
    buttons = []
    for index, (x, y) in enumerate(pairs):
        shown = [i == index for i, view in enumerate(views) for _ in view]
        buttons.append(
            {
                "label": f"{y.metric} {y.arrow} against {x.metric} {x.arrow}",
                "method": "update",
                "args": [{"visible": shown}, {"xaxis": _axis(x), "yaxis": _axis(y)}],
            }
        )
    for index, view in enumerate(views):
        for trace in view:
            trace.visible = index == 0
    figure = Figure([trace for view in views for trace in view])
    frontier, total = len(history.frontier), len(history.measured)
    figure.update_layout(
        title={
            "text": f"<b>{name}</b>: {frontier} of {total} measured trials on the "
            f"{'published' if is_published else 'search'} frontier",
        },
        template="plotly_white",
        font={"family": "system-ui, sans-serif", "size": 13},
        xaxis=_axis(pairs[0][0]),
        yaxis=_axis(pairs[0][1]),
        legend={"title": {"text": "ringed: on the frontier<br>of all objectives"}},
        hoverlabel={"align": "left"},
        margin={"t": 110},
        updatemenus=[
            {"buttons": buttons, "x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom"}
        ]
        if len(pairs) > 1
        else [],
    )
    return figure


def write_html(figure: Figure, path: Path) -> None:
    """Write a figure as one HTML file that needs no network."""
    figure.write_html(path, include_plotlyjs=True, full_html=True, config={"displaylogo": False})


def _axis(objective: Objective) -> dict[str, Any]:
    return {
        "title": {"text": f"{objective.metric} {objective.arrow}"},
        "type": "log" if objective.is_ratio_scale else "linear",
    }


def _traces(history: History, x: Objective, y: Objective) -> list[Any]:
    frontier = {record.number for record in history.frontier}
    rest = [record for record in history.measured if record.number != 0]
    fresh = {point.number for point in history.confirmed}
    comparable = [r for r in history.feasible if not fresh or r.number in fresh]
    traces: list[Any] = [_best_line(comparable, x, y)]
    for scheme in SCHEMES:
        records = [r for r in rest if r.candidate.build.quantization == scheme.name]
        if not records:
            continue
        marker = {"color": scheme.color, "size": 9, "opacity": 0.4}
        traces.append(_points([], history, x, y, scheme.name, {**marker, "opacity": 1.0}))
        others = [record for record in records if record.number not in frontier]
        symbols = ["circle-open" if fresh and r.number not in fresh else "circle" for r in others]
        look = {**marker, "symbol": symbols}
        traces.append(_points(others, history, x, y, scheme.name, look, legend=False))
        best = [record for record in records if record.number in frontier]
        ring = {"size": 13, "opacity": 1.0, "line": {"width": 2, "color": _FRONTIER_LINE}}
        traces.append(_points(best, history, x, y, scheme.name, marker | ring, legend=False))
    if history.baseline:
        star = {"symbol": "star", "size": 16, "color": "#111111"}
        traces.append(_points([history.baseline], history, x, y, "baseline", star))
    return traces


def _points(
    records: Sequence[TrialRecord],
    history: History,
    x: Objective,
    y: Objective,
    name: str,
    marker: dict[str, Any],
    legend: bool = True,
) -> Any:
    """Return trials as markers; without trials, only the legend entry."""
    from plotly.graph_objects import Scatter

    return Scatter(
        x=[record.metrics[x.metric] for record in records] if records else [None],
        y=[record.metrics[y.metric] for record in records] if records else [None],
        mode="markers",
        name=name,
        legendgroup=name,
        showlegend=legend,
        text=[_hover(record, history) for record in records],
        hovertemplate="%{text}<extra></extra>",
        marker=marker,
        error_x=_bars(records, x.metric, marker),
        error_y=_bars(records, y.metric, marker),
    )


def _bars(records: Sequence[TrialRecord], metric: str, marker: dict[str, Any]) -> dict[str, Any]:
    """Return the bars of a metric's 95 % intervals; of length 0 where there is none."""
    found = [r.measurement.statistics[metric] for r in records if r.measurement]
    return {
        "type": "data",
        "symmetric": False,
        "array": [each.ends[1] - each.value for each in found],
        "arrayminus": [each.value - each.ends[0] for each in found],
        "color": marker["color"],
        "thickness": 1,
        "width": 3,
    }


def _best_line(records: Sequence[TrialRecord], x: Objective, y: Objective) -> Any:
    """Return the stepped line through the best points in the two objectives shown."""
    from plotly.graph_objects import Scatter

    values = losses([record.metrics for record in records], [x, y])
    best = [record for record, kept in zip(records, non_dominated(values), strict=True) if kept]
    best.sort(key=lambda record: record.metrics[x.metric])
    return Scatter(
        x=[record.metrics[x.metric] for record in best],
        y=[record.metrics[y.metric] for record in best],
        mode="lines",
        name="best of the two shown",
        line={
            "shape": "hv" if x.direction == "minimize" else "vh",
            "color": _FRONTIER_LINE,
            "width": 1.5,
            "dash": "dot",
        },
        hoverinfo="skip",
    )


def _hover(record: TrialRecord, history: History) -> str:
    head = f"<b>trial {record.number}{' (baseline)' if record.number == 0 else ''}</b>"
    lines = [head, *record.candidate.label.split(" · ")]
    if history.confirmed and all(record.number != point.number for point in history.confirmed):
        lines.append("not confirmed: the search's values, quality from the validation split")
    for name in shown_metrics(history):
        line = f"{name}: {format_metric(name, record.metrics[name])}"
        if history.baseline and record.number and metric_of(name).is_ratio_scale:
            line += f" ({record.metrics[name] / history.baseline.metrics[name]:.2g} × baseline)"
        lines.append(line)
    return "<br>".join(lines)
