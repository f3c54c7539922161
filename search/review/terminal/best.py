"""The best trial so far, for what a person wishes to pick."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from paretune.runners.metric import metric_of
from paretune.search.record.gains import gains, latency_metric
from paretune.search.record.history import History
from paretune.search.record.objective import Constraint
from paretune.search.record.trial import TrialRecord
from paretune.search.review.trial_text import standing

USUAL_LOSS = 0.01
"""Largest loss of quality that counts without a wish, as a share. Chosen by judgement."""


class Best:
    """The best trial so far: what a pick would take, by the search's values.

    It keeps the limits and the batch size of the study's wish, and is the fastest of those trials;
    with a limit on latency, it is the one of best quality. Without a limit, it is the fastest whose
    quality is at most one percent below the baseline's.
    """

    def __init__(self) -> None:
        self._seen = 0
        self._best: tuple[tuple[float, ...], TrialRecord] | None = None

    def update(self, history: History) -> TrialRecord | None:
        """Return it, after including new trials; ``None`` if there is none, or no baseline."""
        base, wish = history.baseline, history.wish
        if base is None:
            return None
        latency, quality = latency_metric(history), history.quality_metric
        limits: Sequence[Constraint] = wish.constraints(base.metrics, quality)
        is_open = not limits
        if is_open:
            floor = base.metrics[quality] - USUAL_LOSS * abs(base.metrics[quality])
            limits = (Constraint(quality, minimum=floor),)
        wants_quality = not is_open and wish.preference == "accuracy"
        for record in history.feasible[self._seen :]:
            metrics = record.metrics
            if not wish.has_batch(record.candidate):
                continue
            if any(limit.violation(metrics[limit.metric]) > 0 for limit in limits):
                continue
            first = (-metrics[quality],) if wants_quality else ()
            key = (*first, metrics[latency], float(record.number))
            if self._best is None or key < self._best[0]:
                self._best = key, record
        self._seen = len(history.feasible)
        return None if self._best is None else self._best[1]


def limits_text(history: History) -> str:
    """Return the limits that the best trial keeps, in words."""
    wished = replace(history.wish, batch_size=None).text
    return f"with {wished or f'a quality drop ≤ {100 * USUAL_LOSS:g} %'}"


def best_text(best: TrialRecord | None, history: History) -> str:
    """Return the best trial with how much faster it is; empty without a measured baseline.

    Args:
        best: The trial, if there is one.
        history: The study.
    """
    if history.baseline is None:
        return ""
    if best is None:
        return f"no trial {limits_text(history)} yet"
    gained = gains(best.metrics, history.baseline.metrics, history)
    faster = f"{gained.times_faster:.1f}× faster"
    return f"best {limits_text(history)}: {faster} (trial {best.number})"


def best_with_quality(best: TrialRecord | None, history: History) -> str:
    """Return the best trial with both of its gains; empty without a measured baseline.

    Args:
        best: The trial, if there is one.
        history: The study.
    """
    base, quality = history.baseline, history.quality_metric
    if base is None or best is None:
        return best_text(best, history)
    if best is base:
        return f"best {limits_text(history)}: the baseline, so far"
    gained = gains(best.metrics, base.metrics, history)
    change = f"{quality} {metric_of(quality).change(gained.quality_change)}"
    faster = f"{gained.times_faster:.1f}× faster"
    return f"best {limits_text(history)}: {faster}, {change} (trial {best.number})"


def best_again_text(history: History) -> str:
    """Return where the best trial of the search stands, if it is no row of the published frontier.

    A search shows the best of many brief measurements, which is partly luck. A person who saw "5 ×
    faster" does not find it in the table, and wants to know why.

    Args:
        history: The study, once it was confirmed.
    """
    best, base = Best().update(history), history.baseline
    published = {point.number for point in history.published}
    if not published or best is None or base is None or best.number in (0, *published):
        return ""
    faster = gains(best.metrics, base.metrics, history).times_faster
    told = f"trial {best.number}, the search's best {limits_text(history)} ({faster:.1f}× faster): "
    fresh = {point.number: point.metrics for point in history.confirmed}
    if best.number in fresh and base.number in fresh:
        again = gains(fresh[best.number], fresh[base.number], history).times_faster
        place = standing(best, history).removeprefix("measured again, ")
        return f"{told}{again:.1f}× when measured again, {place}"
    return told + standing(best, history)
