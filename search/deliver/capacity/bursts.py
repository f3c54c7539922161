"""Bursts: what a spike or a recorded trace does to latency, with and without batches."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from paretune.runners.failure import Failure
from paretune.runners.measure.load.arrivals import Arrivals
from paretune.runners.measure.load.call_times import CallTimes
from paretune.runners.measure.load.queue_model import Batching, highest_rate, simulate
from paretune.runners.measure.load.served_model import ServedModel
from paretune.runners.measure.statistic import RESOLUTION, Statistic
from paretune.runners.runtimes.launch import percentile
from paretune.runners.runtimes.serving.served import ServeSettings
from paretune.search.deliver.capacity.answer import LatencyUnder
from paretune.search.deliver.capacity.progress import Progress
from paretune.search.deliver.capacity.question import CapacityQuestion
from paretune.search.deliver.capacity.serving_plan import ServingPlan
from paretune.spaces import StudyError

_MOST_FACTOR = 20.0
"""Times the usual rate up to which bursts are tried. Chosen by judgement."""

_REQUESTS = 20_000
"""Requests of a simulation of bursts at least, as far as whole bursts go."""

_MOST_PER_S = 3000.0
"""Usual rate above which bursts are not simulated: a call is so short there that chance hardly
matters, and simulations of ten seconds would take minutes.
"""

_EVERY_S = 10.0
"""Seconds from one burst to the next, as ``Arrivals.bursts`` has them by default."""

_MOST_BURSTS = 20
"""Bursts of a simulation at most. Chosen by judgement."""

_SERVED_S = 20.0
"""Seconds of bursts that each launch serves: two bursts."""

_MOST_SERVED_S = 60.0
"""Most seconds of a recorded trace that each launch serves."""


def headroom(
    times: CallTimes, batching: Batching, usual_per_s: float, question: CapacityQuestion
) -> float:
    """Return how many times the usual rate a burst may have until latency leaves the budget.

    A burst lasts one second in ten (``Arrivals.bursts``), and the percentile is that of all
    requests, by simulation.

    Returns:
        The factor, at most 20; at least 1, which is no burst.
    """
    # In a second, no more can come than is answered in it and in the budget.
    answered = times.highest_rate_per_s(batching.instances, batching.max_batch)
    top = min(_MOST_FACTOR, answered * (1 + question.max_latency_ms / 1e3) / usual_per_s)
    if usual_per_s > _MOST_PER_S:
        return max(1.0, top)
    seconds = _bursts(usual_per_s) * _EVERY_S

    def keeps(factor: float) -> bool:
        arrivals = Arrivals.bursts(usual_per_s, max(1.0, factor), seconds, question.seed)
        latency_ms = simulate(arrivals.times_s, times, batching, question.seed)
        return percentile(latency_ms, question.percentile) <= question.max_latency_ms  # type: ignore[arg-type]

    return max(1.0, highest_rate(keeps, top))


def latency_under(
    served: ServedModel,
    times: CallTimes,
    batching: Batching,
    usual_per_s: float,
    plan: ServingPlan,
    question: CapacityQuestion,
    progress: Progress,
) -> list[LatencyUnder]:
    """Return the latency under the asked spike and trace, with batches and one by one.

    All are predicted by the queue model and, if load may be served, measured in fresh launches.
    """
    patterns: list[Arrivals] = []
    if question.spike is not None:
        seconds = _SERVED_S if question.checks else _bursts(usual_per_s) * _EVERY_S
        patterns.append(Arrivals.bursts(usual_per_s, question.spike, seconds, question.seed))
    if question.arrivals is not None:
        rate = question.arrivals.rate_per_s
        patterns.append(share_of(question.arrivals, plan.replicas(rate)))
    ways = [Batching(batching.instances), batching]
    if batching.max_batch == 1:
        # Nothing was won by batches at the capacity; a burst is another question.
        ways.append(replace(batching, max_batch=times.sizes[-1]))
    ways = list(dict.fromkeys(ways))
    progress.begin(len(patterns) * len(ways) * question.launches * question.checks)
    return [
        _under(served, times, way, arrivals, question, progress)
        for arrivals in patterns
        for way in ways
    ]


def _under(
    served: ServedModel,
    times: CallTimes,
    batching: Batching,
    arrivals: Arrivals,
    question: CapacityQuestion,
    progress: Progress,
) -> LatencyUnder:
    q = question.percentile
    predicted = percentile(simulate(arrivals.times_s, times, batching, question.seed), q)  # type: ignore[arg-type]
    if not question.checks:
        return LatencyUnder(arrivals.name, batching, predicted, None)
    settings = ServeSettings(batching.max_batch, batching.queue_delay_ms, give_up_s=60.0)
    found: list[float | None] = []
    for _ in range(question.launches):
        progress.step(f"{arrivals.name}, batches of up to {batching.max_batch}")
        launch = served.serve([arrivals.times_s], batching, settings)
        if isinstance(launch, Failure):
            raise StudyError(f"the model cannot be served ({launch.stage}): {launch.message}")
        found.append(launch.loads[0].percentile_ms(q))
    answered = [each for each in found if each is not None]
    measured = None
    if len(answered) == len(found):
        measured = Statistic.geometric(answered, RESOLUTION)
    return LatencyUnder(arrivals.name, batching, predicted, measured)


def _bursts(usual_per_s: float) -> int:
    """Return how many bursts are simulated at a usual rate."""
    return min(_MOST_BURSTS, max(1, round(_REQUESTS / usual_per_s / _EVERY_S)))


def share_of(arrivals: Arrivals, replicas: int) -> Arrivals:
    """Return one replica's part of a trace, dealt out in turn, as long as it can be served."""
    times_s = arrivals.times_s[::replicas]
    seconds = min(arrivals.seconds, _MOST_SERVED_S)
    name = arrivals.name
    if replicas > 1:
        name += f", 1 request in {replicas}"
    if seconds < arrivals.seconds:
        name += f", its first {seconds:g} s"
    return Arrivals(name, np.asarray(times_s[times_s <= seconds]), seconds)
