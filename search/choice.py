"""The choice: the most accurate point that keeps a budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from search.history import History
from search.objective import Constraint
from search.summary import format_metric
from search.trial import TrialRecord
from spaces import StudyError


@dataclass(frozen=True)
class Wish:
    """What a picked point must keep.

    Attributes:
        max_latency_ms: Latency budget of one call, or ``None``.
        percentile: Which latency the budget is about: ``p50``, ``p90``, ``p95`` or ``p99``.
        min_quality: Lowest quality accepted, or ``None``.
        batch_size: Only points with this batch size, or ``None``.
    """

    max_latency_ms: float | None = None
    percentile: str = "p95"
    min_quality: float | None = None
    batch_size: int | None = None

    @property
    def latency_metric(self) -> str:
        """Name of the latency that the budget is about."""
        return f"latency_{self.percentile}_ms"


def choose(history: History, wish: Wish) -> TrialRecord:
    """Return the most accurate measured trial that keeps a wish; of equals, the fastest.

    Every feasible trial is considered, the baseline among them, so the choice is never one that
    another beats in both quality and the latency asked for. A compressed model that is slower than
    the reference was at the same batch size is not considered.

    Raises:
        StudyError: If none fits, with the nearest one and what to relax.
    """
    quality_metric = history.quality_metric
    limits = []
    if wish.max_latency_ms is not None:
        limits.append(Constraint(wish.latency_metric, maximum=wish.max_latency_ms))
    if wish.min_quality is not None:
        limits.append(Constraint(quality_metric, minimum=wish.min_quality))
    pool = history.feasible
    if wish.batch_size is not None:
        sizes = sorted({record.candidate.run.batch_size for record in pool})
        pool = [record for record in pool if record.candidate.run.batch_size == wish.batch_size]
        if not pool:
            raise StudyError(
                f"no measured point has batch size {wish.batch_size}; measured were {sizes}"
            )
    pool = [record for record in pool if not _is_slower_than_reference(record, history, wish)]
    if not pool:
        raise StudyError("the study has no measured point that keeps its own constraints yet")
    fitting = [r for r in pool if all(c.violation(r.metrics[c.metric]) <= 0 for c in limits)]
    if not fitting:
        raise StudyError(_nothing_fits(pool, limits))
    return min(
        fitting,
        key=lambda r: (
            -r.metrics[quality_metric],
            r.metrics[wish.latency_metric],
            -r.metrics["throughput_samples_per_s"],
            r.number,
        ),
    )


def _is_slower_than_reference(record: TrialRecord, history: History, wish: Wish) -> bool:
    build, run = record.candidate.build, record.candidate.run
    references = [
        other.metrics[wish.latency_metric]
        for other in history.measured
        if not other.candidate.build.is_compressed
        and other.candidate.run.batch_size == run.batch_size
    ]
    return build.is_compressed and record.metrics[wish.latency_metric] > min(
        references, default=float(record.metrics[wish.latency_metric])
    )


def _nothing_fits(pool: Sequence[TrialRecord], limits: Sequence[Constraint]) -> str:
    """Say how far away the nearest point is, for each limit."""
    lines = ["no measured point fits; the nearest, limit by limit:"]
    for limit in limits:
        others = [c for c in limits if c is not limit]
        near = [r for r in pool if all(c.violation(r.metrics[c.metric]) <= 0 for c in others)]
        best = min(near or pool, key=lambda r: limit.violation(r.metrics[limit.metric]))
        wanted = limit.maximum if limit.maximum is not None else limit.minimum
        value = format_metric(limit.metric, best.metrics[limit.metric])
        kept = "" if len(limits) == 1 else ", the other limits kept" if near else ", by itself"
        lines.append(
            f"  {limit.metric}: asked for {format_metric(limit.metric, wanted or 0.0)}, the best "
            f"is {value}{kept} (trial {best.number}: {best.candidate.label})"
        )
    return "\n".join(lines)
