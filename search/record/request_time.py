"""Where the time of a request goes: the bottleneck of the service, not only of the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from paretune.runners.metric import (
    END_TO_END_MEDIAN,
    MEDIAN_LATENCY,
    latency,
    part_latency,
    part_of,
    percentile_of,
)
from paretune.search.record.axis_effect import LEAST_EFFECT, AxisEffect, axis_effects
from paretune.search.record.history import History
from paretune.search.record.trial import TrialRecord
from paretune.search.record.words import format_metric

MODEL = "model"
"""The name of the model's part of a request."""

_LEAST_SHARE = 0.05
"""Share of a request below which a part is not named. Chosen by judgement."""


@dataclass(frozen=True)
class RequestTime:
    """The median times of a point's requests.

    Attributes:
        total_ms: From request to answer, for a batch.
        parts_ms: Each part, in order, by name; ``model`` is the model's own.
    """

    total_ms: float
    parts_ms: Mapping[str, float]

    @classmethod
    def of(cls, metrics: Mapping[str, float]) -> RequestTime | None:
        """Return the times of a point by its metrics; ``None`` without a pipeline.

        A part that the pipeline does not name is called ``preprocess`` or ``postprocess``. Where an
        earlier version did not time the model's part, inference alone stands for it.
        """
        total = metrics.get(END_TO_END_MEDIAN)
        if total is None:
            return None
        # Metrics of parts are recorded in the order of the request.
        named = {part_of(name): value for name, value in metrics.items() if _is_median(name)}
        model = named.get(MODEL, metrics.get(MEDIAN_LATENCY, 0.0))
        names = [*named]
        place = names.index(MODEL) if MODEL in named else 0
        before = {name: named[name] for name in names[:place]}
        after = {name: named[name] for name in names[place + 1 :]}
        return cls(
            total,
            {
                **(before or _unnamed("preprocess", metrics)),
                MODEL: model,
                **(after or _unnamed("postprocess", metrics)),
            },
        )

    @property
    def bottleneck(self) -> str:
        """The part that takes longest."""
        return max(self.parts_ms, key=lambda name: self.parts_ms[name])

    def share(self, part: str) -> float:
        """Return a part's share of the whole, at most 1."""
        return min(1.0, self.parts_ms[part] / self.total_ms)


def request_text(record: TrialRecord, history: History) -> str:
    """Return where the time of a point's requests goes, and what would change it.

    Args:
        record: A measured trial, with its published values or the search's.
        history: Its study.

    Returns:
        A sentence; empty if the workload has no pipeline.
    """
    time = RequestTime.of(record.metrics)
    if time is None:
        return ""
    slowest = time.bottleneck
    order = sorted(time.parts_ms, key=lambda name: -time.parts_ms[name])
    named = [name for name in order if time.share(name) >= _LEAST_SHARE or name == MODEL]
    told = [
        f"{_called(name)}{' takes' if place == 0 else ''} {_ms(time.parts_ms[name])} "
        f"({time.share(name):.0%})"
        for place, name in enumerate(named)
    ]
    whole = f"of {_ms(time.total_ms)} from request to answer (p50), {', '.join(told)}"
    saved = f"a faster model saves at most {_ms(time.parts_ms[MODEL])}"
    if slowest == MODEL:
        return f"{whole}: the model is the bottleneck"
    found = movers(slowest, record, history)
    if not found:
        return f"{whole}: {saved}, and no axis is known to change {slowest}"
    best = found[0]
    if best.ratio < 1 - LEAST_EFFECT:
        return (
            f"{whole}: {saved}; the axis {best.axis} changes {slowest}: with {best.value} it takes "
            f"{best.ratio:.2g} × as long"
        )
    own = dict(record.candidate.run.options)[best.axis]
    return f"{whole}: {saved}; of {best.axis}, {own} is the value with the fastest {slowest}"


def request_lines(records: Sequence[TrialRecord], history: History) -> list[str]:
    """Return :func:`request_text` of the first of some points, and of that with quickest requests.

    Args:
        records: The points, such as the rows of a frontier.
        history: Their study.

    Returns:
        At most two lines; none if the workload has no pipeline.
    """
    served = [each for each in records if END_TO_END_MEDIAN in each.metrics]
    if not served:
        return []
    quickest = min(served, key=lambda each: each.metrics[END_TO_END_MEDIAN])
    first = min(served, key=lambda each: each.number)
    told = {each.number: request_text(each, history) for each in (first, quickest)}
    return [f"Trial {number}: {text}." for number, text in told.items()]


def movers(part: str, record: TrialRecord, history: History) -> list[AxisEffect]:
    """Return the axes of a study that change the time of a part, the surest first.

    Args:
        part: The part, such as ``decode``.
        record: The point, from whose values the axes would be changed.
        history: The study.
    """
    name = part_latency(part, "p50")
    if part in ("preprocess", "postprocess"):
        name = f"{part}_{latency('p50')}"
    return axis_effects(name, record, history)


def _is_median(name: str) -> bool:
    return bool(part_of(name)) and percentile_of(name) == 50


def _unnamed(part: str, metrics: Mapping[str, float]) -> dict[str, float]:
    value = metrics.get(f"{part}_{latency('p50')}")
    return {} if value is None else {part: value}


def _called(part: str) -> str:
    return f"the {part}" if part == MODEL else part


def _ms(value: float) -> str:
    return f"{format_metric(END_TO_END_MEDIAN, value)} ms"
