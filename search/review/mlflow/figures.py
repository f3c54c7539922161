"""Interactive pictures of a whole study, one for each question of a reviewer."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from paretune.runners.metric import metric_of
from paretune.search.record.gains import latency_metric
from paretune.search.record.history import History

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

_LEAST_TRIALS = 2
"""Trials below which lines show nothing."""


def parallel_figure(history: History, name: str) -> Figure | None:
    """Return each measured trial as a line through its axes and objectives.

    Which values lead to good trials can be seen by dragging along an axis. Axes with a single value
    are left out. The values are the search's, so that all trials are comparable; times, rates and
    sizes are on a logarithmic scale. The color is the quality.

    Returns:
        ``None`` if fewer than two trials were measured.
    """
    from plotly.graph_objects import Figure, Parcoords

    records, quality = history.measured, history.quality_metric
    if len(records) < _LEAST_TRIALS:
        return None
    tried = [record.candidate.params for record in records]
    dimensions: list[dict[str, Any]] = []
    for axis in tried[0]:
        values = sorted(
            {params[axis] for params in tried}, key=lambda value: (str(type(value)), value)
        )
        if len(values) > 1:
            dimensions.append(
                {
                    "label": axis,
                    "values": [values.index(params[axis]) for params in tried],
                    "tickvals": list(range(len(values))),
                    "ticktext": [str(value) for value in values],
                }
            )
    shown = dict.fromkeys([*(g.metric for g in history.objectives), latency_metric(history)])
    for metric in shown:
        dimensions.append(_dimension(metric, [record.metrics[metric] for record in records]))
    figure = Figure(
        Parcoords(
            line={
                "color": [record.metrics[quality] for record in records],
                "colorscale": "Viridis",
                "showscale": True,
                "colorbar": {"title": {"text": quality}},
            },
            dimensions=dimensions,
        )
    )
    return _titled(
        figure, f"<b>{name}</b>: which values lead to which results (drag along an axis)"
    )


def time_figure(history: History, name: str) -> Figure | None:
    """Return the seconds that each stage took in all trials; ``None`` if none is known."""
    from plotly.graph_objects import Bar, Figure

    spent: Counter[str] = Counter()
    times: Counter[str] = Counter()
    for record in history.records:
        spent.update(record.stage_seconds)
        times.update(record.stage_seconds.keys())
    if not spent:
        return None
    stages = [stage for stage, _ in spent.most_common()]
    saved = sum(record.saved_seconds for record in history.records)
    figure = Figure(
        Bar(
            y=stages,
            x=[spent[stage] for stage in stages],
            text=[
                f"{times[stage]} ×, {spent[stage] / times[stage]:.2g} s each" for stage in stages
            ],
            orientation="h",
            marker={"color": "#4c5b6b"},
        )
    )
    figure.update_layout(
        xaxis={"title": {"text": "seconds"}}, yaxis={"autorange": "reversed", "automargin": True}
    )
    return _titled(
        figure,
        f"<b>{name}</b>: where the search spent its time; what the store had saved {saved:.0f} s",
    )


def _dimension(metric: str, values: list[float]) -> dict[str, Any]:
    """Return a metric as an axis of parallel coordinates."""
    import numpy as np

    if not metric_of(metric).is_ratio_scale:
        return {"label": metric, "values": values}
    logs = np.log10(values)
    ticks = np.linspace(logs.min(), logs.max(), 5)
    texts = [metric_of(metric).text(float(10**tick)) for tick in ticks]
    return {"label": metric, "values": logs.tolist(), "tickvals": ticks.tolist(), "ticktext": texts}


def _titled(figure: Figure, text: str) -> Figure:
    figure.update_layout(
        title={"text": text},
        template="plotly_white",
        font={"family": "system-ui, sans-serif", "size": 13},
        margin={"t": 110},
    )
    return figure
