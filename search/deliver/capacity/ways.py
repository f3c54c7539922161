"""Ways to serve: instances × threads × batch, timed briefly, with the capacity of each."""

from __future__ import annotations

from typing import TypeVar

from paretune.runners.failure import Failure
from paretune.runners.measure.load.call_times import CallTimes
from paretune.runners.measure.load.queue_model import Batching, capacity_per_s
from paretune.runners.measure.load.served_model import ServedModel
from paretune.runners.runtimes.settings import MeasurementSettings
from paretune.search.deliver.capacity.answer import Way
from paretune.search.deliver.capacity.progress import Progress
from paretune.search.deliver.capacity.question import CapacityQuestion
from paretune.spaces import StudyError

_DELAYS = (0.0, 0.25, 0.5, 1.0)
"""Queue delays that are tried, as shares of the budget less the p95 of the largest call."""

BRIEF = 3000
"""Requests of a simulation that compares ways to serve. Chosen by judgement."""

_MARGIN = 1.02
"""Times the capacity by which more complicated ways must be better: simulations of 3,000 requests
tell no less apart.
"""

Result = TypeVar("Result")


def timed_ways(served: ServedModel, question: CapacityQuestion, progress: Progress) -> list[Way]:
    """Time each way briefly, and predict its capacity."""
    quick = MeasurementSettings().claiming()
    pairs, sizes = question.ways, sorted(set(question.sizes))
    progress.begin(len(pairs) * len(sizes))
    found: list[Way] = []
    failure: Failure | None = None
    for instances, threads in pairs:
        words = f"{instances} × {threads}"
        calls = served.with_threads(threads).calls(
            instances,
            sizes,
            quick,
            question.max_latency_ms,
            lambda size, words=words: progress.step(f"instances × threads {words}, batch {size}"),  # type: ignore[misc]
        )
        if isinstance(calls, Failure):
            failure = calls
            continue
        progress.skip(len(sizes) - len(calls.timings))
        times = calls.times
        for size in times.sizes:
            rate, delay_ms = _best_delay(times.up_to(size), instances, size, question)
            mean_ms = times.mean_ms(size)
            found.append(
                Way(
                    instances,
                    threads,
                    size,
                    times.percentile_ms(size, 50),
                    times.percentile_ms(size, 95),
                    instances * size / mean_ms * 1e3,
                    rate,
                    delay_ms,
                )
            )
    if not found and failure is not None:
        raise StudyError(f"the model does not run ({failure.stage}): {failure.message}")
    return found


def _best_delay(
    times: CallTimes, instances: int, size: int, question: CapacityQuestion
) -> tuple[float, float]:
    """Return the highest predicted capacity for a largest batch, and its queue delay."""
    slack_ms = max(0.0, question.max_latency_ms - times.percentile_ms(size, 95))
    delays = {round(share * slack_ms, 3) for share in _DELAYS} if size > 1 else {0.0}
    best = (0.0, 0.0)
    for delay_ms in sorted(delays):
        rate = capacity_per_s(
            times,
            Batching(instances, size, delay_ms),
            question.max_latency_ms,
            question.percentile,
            BRIEF,
            question.seed,
        )
        best = max(best, (rate, delay_ms)) if rate > _MARGIN * best[0] else best
    return best


def best_way(ways: list[Way], question: CapacityQuestion) -> Way:
    """Return the way with the highest capacity, the plainest of those that are nearly as good."""
    most = max(way.capacity_per_s for way in ways)
    if most <= 0:
        raise breaks_budget(min(ways, key=lambda way: way.latency_p95_ms), question)
    good = [way for way in ways if way.capacity_per_s * _MARGIN >= most]
    return min(good, key=lambda way: (way.batch_size, way.queue_delay_ms, -way.capacity_per_s))


def breaks_budget(way: Way, question: CapacityQuestion) -> StudyError:
    """Return the error that says that no way to serve keeps the budget."""
    return StudyError(
        f"no way to serve this model keeps p{question.percentile} ≤ {question.max_latency_ms:g} ms:"
        f" with {way.words}, one call takes {way.latency_p50_ms:.3g} ms at the median and "
        f"{way.latency_p95_ms:.3g} ms at p95; give a larger budget, or pick a faster point"
    )


def or_stop(outcome: Result | Failure) -> Result:
    """Return an outcome.

    Raises:
        StudyError: If it is a failure.
    """
    if isinstance(outcome, Failure):
        raise StudyError(f"the model cannot be served ({outcome.stage}): {outcome.message}")
    return outcome
