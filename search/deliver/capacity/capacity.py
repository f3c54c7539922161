"""Capacity: the highest rate that keeps a latency budget, and the best way to serve for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from paretune.runners.measure.load.call_times import CallTimes
from paretune.runners.measure.load.checked_capacity import (
    PERCENTILES,
    check_capacity,
)
from paretune.runners.measure.load.queue_model import (
    Batching,
    Simulator,
    capacity_per_s,
)
from paretune.runners.measure.load.served_model import ServedModel
from paretune.runners.metric import latency
from paretune.runners.runtimes.launch import percentile
from paretune.runners.runtimes.serving.served import ServeSettings
from paretune.runners.runtimes.settings import MeasurementSettings
from paretune.search.deliver.capacity.answer import Capacity, Load
from paretune.search.deliver.capacity.bursts import headroom, latency_under
from paretune.search.deliver.capacity.pilots import piloted
from paretune.search.deliver.capacity.prediction import predict, predicted_by
from paretune.search.deliver.capacity.progress import Progress
from paretune.search.deliver.capacity.question import CapacityQuestion
from paretune.search.deliver.capacity.serving_plan import ServingPlan
from paretune.search.deliver.capacity.ways import (
    BRIEF,
    best_way,
    breaks_budget,
    or_stop,
    timed_ways,
)

_FIRST_SHARE = 0.5
"""Share of the rate predicted from calls alone at which the first pilot load is served: that
prediction is too high where slow calls come in groups. Chosen by judgement.
"""

_PILOT_SHARE = 0.8
"""Share of the rate predicted by the first pilot load at which the others are served: nearly as
many instances sleep, and nearly as many requests wait, as at the capacity. Chosen by judgement.
"""

_TIMED_S = 2.0
"""Seconds for which each launch of the best way is timed: rare stalls are in the p99 of requests,
and fewer seconds would miss them. Chosen by judgement.
"""

_MOST_CALLS = 50_000
"""Calls of such a launch at most. Chosen by judgement."""

_USUAL_SHARE = 0.5
"""Share of the capacity that counts as the usual rate if none is given. Chosen by judgement."""

_CURVE = 24
"""Rates of the curve of latency. Chosen by judgement."""

_REQUESTS = 20_000
"""Requests of the simulation that tells latency at the capacity: its p99 rests on 200 of them."""

Told = Callable[[str], None]


def find_capacity(
    served: ServedModel,
    question: CapacityQuestion,
    environment: Mapping[str, str],
    told: Told = lambda _: None,
) -> Capacity:
    """Find the best way to serve a model within a latency budget, and the rate that it holds.

    1. Each way (instances × threads) is timed briefly for each batch size, all instances together.
    2. The queue model predicts the capacity of each, with several queue delays.
    3. The best one is timed again, in fresh launches: the best of many brief figures is partly
       luck. Launches at a low rate show how calls differ after a pause, and how long a start takes.
    4. The capacity is predicted from each launch; the interval is Student's over launches, which
       vary more than the calls of one launch do.
    5. The prediction is checked: rates around it are served for real, in fresh processes. What is
       published is the measured capacity, less what the model says that a load without end costs.

    Args:
        served: The model.
        question: What is asked.
        environment: What describes the machine and the versions.
        told: Given lines about progress.

    Raises:
        StudyError: If it does not run, or no way to serve it keeps the budget.
    """
    progress = Progress(told)
    ways = timed_ways(served, question, progress)
    best = best_way(ways, question)
    batching = Batching(best.instances, best.batch_size, best.queue_delay_ms)
    served = served.with_threads(best.threads)
    told(f"best: {best.words}; timing it again")
    careful = MeasurementSettings(
        launches=question.launches,
        max_launches=question.launches,
        min_seconds=_TIMED_S,
        max_iterations=_MOST_CALLS,
    ).claiming([latency("p99")])
    sizes = [way.batch_size for way in ways if way.is_smaller(best)]
    progress.begin(len(sizes))
    calls = or_stop(
        served.calls(
            best.instances,
            sizes,
            careful,
            float("inf"),
            lambda size: progress.step(f"batch {size}, {question.launches} launches"),
        )
    )
    times, budget, q = calls.times, question.max_latency_ms, question.percentile
    brief = capacity_per_s(times, batching, budget, q, BRIEF, question.seed)
    if brief <= 0:
        raise breaks_budget(best, question)
    _, first = piloted(served, batching, _FIRST_SHARE * brief, times, question, progress, 1)
    near = capacity_per_s(replace(times, paces=first), batching, budget, q, BRIEF, question.seed)
    rate = _PILOT_SHARE * near or _FIRST_SHARE * brief
    started, paces = piloted(served, batching, rate, times, question, progress, question.launches)
    times = replace(times, paces=paces)
    told("predicting the capacity")
    predicted = predict(times, batching, question)
    if predicted is None:
        raise breaks_budget(best, question)
    checked, settings = None, ServeSettings(batching.max_batch, batching.queue_delay_ms)
    if question.checks:
        progress.begin(question.launches)
        checked = or_stop(
            check_capacity(
                served,
                batching,
                predicted.per_s.value,
                budget,
                q,
                settings,
                lambda load: predicted_by(load, times, batching, question),
                launches=question.launches,
                seconds=predicted.seconds,
                seed=question.seed,
                told=progress.step,
            )
        )
    in_short_loads = predicted.per_s if checked is None else checked.rate_per_s
    capacity = in_short_loads.scaled(predicted.endless_share)
    simulated = Simulator(times, batching, _REQUESTS, question.seed)
    at_capacity = simulated.poisson(capacity.value)
    plan = ServingPlan(
        max_latency_ms=budget,
        percentile=q,
        instances=best.instances,
        threads=best.threads,
        max_batch=best.batch_size,
        queue_delay_ms=best.queue_delay_ms,
        capacity_per_s=capacity,
        latency_ms=checked.latency_ms
        if checked
        else {p: percentile(at_capacity, p) for p in PERCENTILES},  # type: ignore[arg-type]
        call_ms={s: (times.percentile_ms(s, 50), times.percentile_ms(s, 95)) for s in times.sizes},
        start_ms=started.start_ms.value,
        memory_bytes=started.memory_bytes,
        is_measured=checked is not None,
        environment=dict(environment),
    )
    usual = _usual(plan, question)
    return Capacity(
        question=question,
        ways=ways,
        best=best,
        plan=plan,
        predicted=predicted,
        checked=checked,
        curve=_curve(times, batching, q, question.seed),
        headroom=headroom(times, batching, usual, question),
        usual_per_s=usual,
        start_ms=started.start_ms,
        under=latency_under(served, times, batching, usual, plan, question, progress),
        is_disturbed=calls.is_disturbed or (checked is not None and checked.is_disturbed),
    )


def _usual(plan: ServingPlan, question: CapacityQuestion) -> float:
    """Return the usual rate of one replica."""
    if question.rate_per_s is None:
        return _USUAL_SHARE * plan.capacity_per_s.value
    return question.rate_per_s / plan.replicas(question.rate_per_s)


def _curve(times: CallTimes, batching: Batching, q: int, seed: int) -> list[Load]:
    top = times.highest_rate_per_s(batching.instances, batching.max_batch)
    simulated = Simulator(times, batching, BRIEF, seed)
    found = []
    for share in np.linspace(0.02, 0.98, _CURVE):
        rate = float(share * top)
        latency_ms = simulated.poisson(rate)
        found.append(Load(rate, float(np.mean(latency_ms)), percentile(latency_ms, q)))  # type: ignore[arg-type]
    return found
