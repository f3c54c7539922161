"""The prediction of a capacity, by the queue model, from the calls of each launch."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from paretune.runners.measure.load.call_times import CallTimes
from paretune.runners.measure.load.queue_model import Batching, capacity_per_s
from paretune.runners.measure.statistic import RESOLUTION, Statistic
from paretune.runners.runtimes.serving.served import Served
from paretune.search.deliver.capacity.answer import Prediction
from paretune.search.deliver.capacity.pilots import pace_of
from paretune.search.deliver.capacity.question import CapacityQuestion

_ENDLESS = 20_000
"""Requests of a load that counts as one without end: its p99 rests on 200 of them."""

_SHORT_LOADS = 9
"""Simulations of a load as short as a served one, whose median counts. Chosen by judgement."""

_ABOVE = 1.25
"""Times the rate without pauses that a short load may have. Chosen by judgement."""


def predict(times: CallTimes, batching: Batching, question: CapacityQuestion) -> Prediction | None:
    """Predict a capacity from each launch's calls.

    Args:
        times: The times of calls, with the pace of a served load per launch.
        batching: How requests are answered.
        question: What is asked.

    Returns:
        ``None`` if no rate keeps the budget in some launch.
    """
    each = [times.of_launch(place) for place in range(times.launches)]
    endless = [
        capacity_per_s(
            own,
            batching,
            question.max_latency_ms,
            question.percentile,
            _ENDLESS,
            question.seed + place,
        )
        for place, own in enumerate(each)
    ]
    if min(endless) <= 0:
        return None
    seconds = question.seconds_at(float(np.exp(np.mean(np.log(endless)))))
    short = [
        max(rate, _in_short_loads(own, batching, question, round(seconds * rate)))
        for own, rate in zip(each, endless, strict=True)
    ]
    share = float(np.exp(np.mean(np.log(endless) - np.log(short))))
    return Prediction(Statistic.geometric(short, RESOLUTION), seconds, share)


def predicted_by(
    load: Served, times: CallTimes, batching: Batching, question: CapacityQuestion
) -> float:
    """Return the capacity that the queue model predicts from the calls of a served load.

    It is that of loads as short as the served one.
    """
    known = replace(times, paces=[pace_of(load, times, batching)])
    return _in_short_loads(known, batching, question, len(load.latency_ms))


def _in_short_loads(
    times: CallTimes, batching: Batching, question: CapacityQuestion, requests: int
) -> float:
    return capacity_per_s(
        times,
        batching,
        question.max_latency_ms,
        question.percentile,
        max(requests, 1),
        question.seed,
        loads=_SHORT_LOADS,
        above=_ABOVE,
    )
