"""Pilot loads, below the capacity: how fast calls are over time, and how long a start takes."""

from __future__ import annotations

import numpy as np

from paretune.runners.measure.load.arrivals import Arrivals
from paretune.runners.measure.load.call_times import CallTimes, Pace, medians_s
from paretune.runners.measure.load.checked_capacity import DISTURBED_EXTRA
from paretune.runners.measure.load.queue_model import Batching
from paretune.runners.measure.load.served_model import ServedModel
from paretune.runners.measure.statistic import RESOLUTION, Statistic
from paretune.runners.runtimes.serving.served import Served, ServeSettings
from paretune.search.deliver.capacity.progress import Progress
from paretune.search.deliver.capacity.question import CapacityQuestion
from paretune.search.deliver.capacity.ways import or_stop

_PILOT_REQUESTS = 600
"""Requests of a pilot load, if it does not take too long. Chosen by judgement."""

_PILOT_S = (6.0, 12.0)
"""Fewest and most seconds of a pilot load. Chosen by judgement."""


class Started:
    """What pilot loads showed of a replica's start and memory."""

    def __init__(self, start_ms: list[float], memory_bytes: list[int]) -> None:
        self.start_ms = Statistic.geometric(start_ms, RESOLUTION)
        self.memory_bytes = float(np.mean(memory_bytes))


def piloted(
    served: ServedModel,
    batching: Batching,
    rate: float,
    times: CallTimes,
    question: CapacityQuestion,
    progress: Progress,
    launches: int,
) -> tuple[Started, list[Pace]]:
    """Serve pilot loads below the capacity, to see how fast calls are over time."""
    seconds = float(np.clip(_PILOT_REQUESTS / rate, *_PILOT_S))
    settings = ServeSettings(batching.max_batch, batching.queue_delay_ms)
    starts, memory, kept = [], [], []
    progress.begin(launches)
    for place in range(launches + DISTURBED_EXTRA):
        progress.step("a start, and a pilot load")
        due_s = Arrivals.poisson(rate, seconds, question.seed + place).times_s
        launch = or_stop(served.serve([due_s], batching, settings))
        starts.append(launch.start_ms)
        memory.append(launch.peak_memory_bytes)
        (load,) = launch.loads
        if len(load.call_sizes):
            kept.append((load.is_disturbed, pace_of(load, times, batching)))
        if sum(not is_disturbed for is_disturbed, _ in kept) >= launches:
            break
    # The least disturbed ones, if there are too few without disturbance.
    paces = [pace for _, pace in sorted(kept, key=lambda each: each[0])[:launches]]
    return Started(starts, memory), paces


def pace_of(load: Served, times: CallTimes, batching: Batching) -> Pace:
    """Return how fast the calls of a load were, one after the other, by the closed loop's times."""
    medians_ms = 1e3 * medians_s(times.table(batching.max_batch))
    ratio = load.call_ms / medians_ms[load.call_sizes - 1]
    return Pace(ratio, load.late_ms[load.late_ms > 0])
