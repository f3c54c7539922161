"""What ``paretune pick --json`` prints: the point, why it was taken, and what was written."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from paretune.search.cli.values.base import Interval, Values
from paretune.search.deliver.choice import baseline
from paretune.search.deliver.pick_text import gains_text, reason_text
from paretune.search.deliver.picked import Pick
from paretune.search.record.gains import gains, speedup
from paretune.search.record.words import shown_metrics
from paretune.search.review.shortfall import shortfalls


class RecheckValues(Values):
    """A metric that was measured again just now."""

    value: float = Field(description="The new value.")
    low: float | None = Field(description="Lower end of the interval of a repetition.")
    high: float | None = Field(description="Upper end of it.")
    inside: bool = Field(description="Whether the new value is in the published interval.")


class PickValues(Values):
    """The point that was picked."""

    trial: int = Field(description="The trial's number; 0 is the baseline.")
    candidate: str = Field(description="What it is, in words.")
    params: dict[str, Any] = Field(description="The same, by axis of the search space.")
    is_confirmed: bool = Field(
        description="Whether the values are published ones; else the search's own, which flatter."
    )
    metrics: dict[str, Interval] = Field(description="Its values by metric.")
    baseline: dict[str, float] | None = Field(description="The baseline's values by metric.")
    times_faster: float | None = Field(description="The baseline's latency ÷ its own.")
    times_faster_interval: Interval | None = Field(
        description="The same with the ends of its 95 % interval."
    )
    throughput_ratio: float | None = Field(description="Its samples per second ÷ the baseline's.")
    quality_change: float | None = Field(description="Its quality − the baseline's.")
    times_smaller: float | None = Field(description="The baseline's file size ÷ its own.")
    equals: list[int] = Field(description="Trials that cannot be told apart from it; it included.")
    not_taken: list[str] = Field(description="Better points that broke a limit when remeasured.")
    rechecked: dict[str, RecheckValues] = Field(
        description="Its new measurement by metric; empty if it was not measured again."
    )
    reasons: list[str] = Field(description="Its gains, and why this point, in words.")
    model: str | None = Field(description="The model file that was written; null without --out.")
    manifest: str | None = Field(description="The bundle's manifest; null without --out.")
    exports: dict[str, str] = Field(description="The main file written for each target.")
    version: str | None = Field(description="Its version in MLflow's registry; null without.")


def pick_values(picked: Pick) -> PickValues:
    """Return a pick as it is printed."""
    record, history = picked.record, picked.history
    base = baseline(history)
    gained = gains(record.metrics, base.metrics, history) if base else None
    faster = speedup(record, base, history) if base else None
    names = shown_metrics(history)
    statistics = record.measurement.statistics if record.measurement else {}
    return PickValues(
        trial=record.number,
        candidate=record.candidate.label,
        params=dict(record.candidate.params),
        is_confirmed=bool(history.confirmed),
        metrics={name: Interval.of(statistics[name]) for name in names},
        baseline={name: base.metrics[name] for name in names} if base else None,
        times_faster=gained and gained.times_faster,
        times_faster_interval=Interval.of(faster) if faster else None,
        throughput_ratio=gained and gained.throughput_ratio,
        quality_change=gained and gained.quality_change,
        times_smaller=gained and gained.times_smaller,
        equals=[each.number for each in picked.equals],
        not_taken=list(picked.broken),
        rechecked={
            name: RecheckValues.model_validate(each.as_dict())
            for name, each in picked.rechecks.items()
        },
        reasons=[
            *gains_text(record, history),
            *reason_text(record, picked.equals, history, picked.wish),
            *shortfalls(record, history),
        ],
        model=None if picked.model is None else str(picked.model),
        manifest=None if picked.manifest is None else str(picked.manifest),
        exports={name: str(path) for name, path in picked.exports.items()},
        version=picked.version,
    )
