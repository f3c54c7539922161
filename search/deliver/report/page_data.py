"""What the report's page shows, as plain values: points, the rule of a pick, time spent."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

from paretune.runners.metric import metric_of
from paretune.search.deliver.choice import points
from paretune.search.deliver.report.layers import Layers
from paretune.search.deliver.report.pick_rule import pick_rule
from paretune.search.record.gains import SHOWN_GAINS, latency_metric
from paretune.search.record.history import History
from paretune.search.record.request_time import request_lines
from paretune.search.record.search_time import busy_seconds
from paretune.search.record.trial import TrialRecord
from paretune.search.record.words import (
    close_calls_text,
    format_metric,
    gain_texts,
    interval_text,
    shown_metrics,
)
from paretune.search.review.frontier_rows import FrontierRow, frontier_rows
from paretune.search.review.frontier_table import value_text
from paretune.search.review.shortfall import shortfalls


def page_data(history: History, study: str, layers: Layers | None = None) -> dict[str, Any]:
    """Return what the page's scripts work on, ready for JSON.

    Args:
        history: The study, with at least one measured trial.
        study: The study file, as a command names it.
        layers: Reads what files say of their layers; without it the page tells nothing of them.
    """
    shown, metrics = history.as_published(), shown_metrics(history)
    choice = {record.number for record in points(history)}
    frontier = {record.number for record in shown.frontier}
    told = frontier | {0}
    found = {
        "study": study,
        "quality": history.quality_metric,
        "latency": latency_metric(history),
        "metrics": {
            name: {
                "unit": metric_of(name).unit,
                "log": metric_of(name).is_ratio_scale,
                "up": metric_of(name).higher_is_better,
            }
            for name in metrics
        },
        "wish": history.wish.as_dict(),
        "rule": pick_rule(history),
        "others": "measured in the search only" if history.confirmed else "breaks a limit",
        "points": [
            _point(record, metrics)
            | {
                "frontier": record.number in frontier,
                "choice": record.number in choice,
                "notes": shortfalls(record, history),
                "layers": layers.of(record.measurement.artifact)
                if layers and record.measurement and record.number in told
                else {},
            }
            for record in shown.measured
        ],
        "hypervolume": hypervolumes(history),
    }
    return {name: _plain(value) for name, value in found.items()}


def _plain(value: Any) -> Any:
    """Return a value with ``None`` in place of NaN and infinities, which JSON lacks."""
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _point(record: TrialRecord, metrics: list[str]) -> dict[str, Any]:
    measurement, run = record.measurement, record.candidate.run
    assert measurement is not None  # only measured trials are shown
    found = {name: each for name in metrics if (each := measurement.statistics.get(name))}
    return {
        "number": record.number,
        "label": record.candidate.label,
        "scheme": record.candidate.build.quantization.value,
        "runner": run.runner,
        "batch_size": run.batch_size,
        "baseline": record.number == 0,
        "values": {name: [each.value, each.low, each.high] for name, each in found.items()},
        "texts": {
            name: [format_metric(name, each.value), interval_text(name, each)]
            for name, each in found.items()
        },
        "operators": [list(each) for p in measurement.providers.values() for each in p.operators],
    }


def frontier_cells(history: History) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Return the frontier as a table: its heads, and each row's trial with a text per cell.

    Objectives have the half-width of their 95 % interval.
    """
    goals, rows = [goal.metric for goal in history.objectives], frontier_rows(history)
    others = [name for name in shown_metrics(history) if name not in goals]
    gained = [gain.title(history.quality_metric) for gain in SHOWN_GAINS]
    heads = [
        "candidate",
        *gained,
        *(f"{metric_of(goal.metric).head} {goal.arrow}" for goal in history.objectives),
    ]
    heads += [*(metric_of(name).head for name in others), "probability", "ties"]

    def cells(row: FrontierRow) -> list[str]:
        against = gain_texts(row.gains) if row.gains and row.number else [""] * len(gained)
        return [
            row.candidate.label,
            *against,
            *(value_text(name, row.statistics[name], is_wide=True) for name in goals),
            *(format_metric(name, row.metrics[name]) for name in others),
            row.probability_text,
            row.ties_text,
        ]

    return heads, [(row.number, cells(row)) for row in rows]


def summary(history: History) -> list[str]:
    """Return the study in a few sentences: what was gained, what was done, what is published."""
    rows = frontier_rows(history)
    gained = [row for row in rows if row.gains and row.number]
    lines = []
    if gained:
        best = max(gained, key=lambda row: row.gains.times_faster if row.gains else 0.0)
        texts = gain_texts(best.gains) if best.gains else []
        titles = [gain.title(history.quality_metric) for gain in SHOWN_GAINS]
        told = [
            f"{text} {title[2:]}" if title.startswith("× ") else f"{title} {text}"
            for title, text in zip(titles, texts, strict=True)
        ]
        lines.append(
            f"The fastest point, trial {best.number}, against the baseline: {', '.join(told)}."
        )
    hours = busy_seconds(history.records) / 3600
    lines.append(
        f"{len(history.records)} trials ({len(history.measured)} measured, "
        f"{len(history.skipped)} skipped, {len(history.failed)} failed), {hours:.2f} h of search."
    )
    if history.published:
        count = len(history.published)
        lines.append(
            f"{count} {'point is' if count == 1 else 'points are'} published: measured again, "
            f"with quality from the test split. {close_calls_text(history)}"
        )
    else:
        count = len(history.frontier)
        lines.append(
            f"{count} {'point is' if count == 1 else 'points are'} on the search's own frontier; "
            "none is confirmed."
        )
    return [*lines, *request_lines([row.record for row in rows], history)]


def stage_seconds(history: History) -> dict[str, float]:
    """Return the seconds that each stage took in all trials, the longest first."""
    spent: Counter[str] = Counter()
    for record in history.records:
        spent.update(record.stage_seconds)
    return dict(spent.most_common())


def hypervolumes(history: History) -> list[tuple[int, float]]:
    """Return trial number and hypervolume so far, for each measured trial."""
    so_far = history.empty_copy()
    found = []
    for record in history.measured:
        so_far.add(record)
        if so_far.hypervolume is not None:
            found.append((record.number, so_far.hypervolume))
    return found
