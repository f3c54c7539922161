"""The rows of a frontier, for table, JSON, CSV, Python, report and MLflow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from paretune.runners.measure.statistic import Statistic
from paretune.search.record.gains import GAINS, SHOWN_GAINS, Gains, gains
from paretune.search.record.history import History
from paretune.search.record.trial import TrialRecord
from paretune.search.record.words import (
    format_metric,
    gain_texts,
    shown_metrics,
    with_interval,
)
from paretune.spaces import Candidate

Kind = Literal["published", "searched", "baseline"]


@dataclass(frozen=True)
class FrontierRow:
    """One row of a frontier.

    Attributes:
        record: The trial with the values to show: fresh ones if it was confirmed, unless the
            search's own are requested.
        kind: ``published``; ``searched``, on the search's own frontier; or ``baseline``, a row that
            is always included although the baseline is not on the frontier.
        gains: Its gains against the baseline, both measured in the same way; ``None`` if the
            baseline was not measured so.
        probability: For a published row, the probability that at least one of its points is
            dominated by no confirmed feasible point. ``None`` for others.
        ties: Numbers of the trials that cannot be told apart from it.
    """

    record: TrialRecord
    kind: Kind
    gains: Gains | None
    probability: float | None = None
    ties: tuple[int, ...] = ()

    @property
    def number(self) -> int:
        """The trial's number."""
        return self.record.number

    @property
    def candidate(self) -> Candidate:
        """The candidate."""
        return self.record.candidate

    @property
    def metrics(self) -> dict[str, float]:
        """The value of each metric, by name."""
        return self.record.metrics

    @property
    def probability_text(self) -> str:
        """The probability for people; empty if there is none."""
        return "" if self.probability is None else f"{self.probability:.2f}"

    @property
    def ties_text(self) -> str:
        """The ties for people."""
        return ", ".join(map(str, self.ties))

    @property
    def statistics(self) -> Mapping[str, Statistic]:
        """The value of each metric with its interval, by name."""
        return self.record.measurement.statistics if self.record.measurement else {}


def frontier_rows(history: History, *, searched: bool = False) -> list[FrontierRow]:
    """Return the published frontier, or the search's own if requested or none is published.

    The baseline is always a row, the first one unless it is on the frontier. The others are ordered
    by the first objective, the best first.
    """
    is_published = bool(history.published) and not searched
    shown = history.as_published() if is_published else history
    points = {point.number: point for point in history.published} if is_published else {}
    base = shown.baseline
    is_alike = not is_published or any(point.number == 0 for point in history.confirmed)
    rows = []
    for record in shown.frontier:
        point = points.get(record.number)
        rows.append(
            FrontierRow(
                record,
                "published" if point else "searched",
                gains(record.metrics, base.metrics, history) if base and is_alike else None,
                point.row_probability if point else None,
                tuple(o.number for o in history.confirmed if point and o.same_as == point.number),
            )
        )
    if base and base not in shown.frontier:
        rows.insert(0, FrontierRow(base, "baseline", gains(base.metrics, base.metrics, history)))
    return rows


def row_values(row: FrontierRow, history: History) -> dict[str, Any]:
    """Return a row as plain values by name, ready for JSON: the same names for every row.

    Missing values are ``None``. Intervals are 95 % intervals, ``NAME_low`` and ``NAME_high``.
    """
    values: dict[str, Any] = {"trial": row.number, "kind": row.kind}
    values |= row.candidate.params
    for name in shown_metrics(history):
        values |= with_interval(name, row.statistics[name])
    values |= {gain.name: getattr(row.gains, gain.name, None) for gain in GAINS}
    values["probability"] = row.probability
    values["ties"] = list(row.ties)
    values["artifact"] = row.record.measurement.artifact if row.record.measurement else ""
    return values


def flat_values(row: FrontierRow, history: History) -> dict[str, Any]:
    """Return a row as :func:`row_values` does, with a text in place of a list: for flat tables."""
    values = row_values(row, history)
    return values | {"ties": " ".join(map(str, values["ties"]))}


def frontier_texts(history: History) -> tuple[list[str], list[list[str]]]:
    """Return a frontier as a table for people with room to read: heads, and a text per cell."""
    metrics = shown_metrics(history)
    gained = [gain.title(history.quality_metric) for gain in SHOWN_GAINS]
    texts = [
        [
            f"{row.number}{' (baseline)' if row.number == 0 else ''}",
            row.candidate.label,
            *(format_metric(metric, row.metrics[metric]) for metric in metrics),
            *(gain_texts(row.gains) if row.gains else [""] * len(gained)),
            row.probability_text,
            row.ties_text,
        ]
        for row in frontier_rows(history)
    ]
    return ["trial", "candidate", *metrics, *gained, "P", "ties"], texts
