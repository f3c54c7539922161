"""The measurement protocol: how to get a number that somebody else can reproduce.

1. **Lease.** The device is held for the whole measurement, and with any device the host; builds
   hold the host too.
2. **Admission.** Nothing else may use the device: the protocol waits for an idle moment, and
   records it if there was none. It waits again after a disturbed launch, unless the last wait
   failed.
3. **Launches.** Every launch is a fresh process, pinned to as many cores as it has threads, with a
   deadline and a memory limit; it warms up until timing is steady. Launches, not calls, are the
   replicates: the variation between processes dwarfs the variation within one.
4. **Validity.** A launch is repeated, and counted as disturbed, if it waited for the processor (CPU
   time ÷ wall time below 0.9; with several threads, below 0.9 of that ratio in the quietest
   launch), was stopped by a quota of processor time, was pushed off its core (more than one
   involuntary switch in ten calls, and more than ten a second), or if the canary, a fixed piece of
   arithmetic timed right after, took more than a tenth longer than in the quickest of these
   launches; in a campaign, of the launches of the same round and of the rounds beside it. Over
   longer times the canary is only recorded: a machine that is slower for an hour gives that hour's
   numbers, and `paretune status` shows how far it drifted.
   On a card or another device the first two rules say nothing. The calling thread waits for the
   device there, and runtimes wait in different ways: one that spins takes a whole core, one that
   blocks almost none, and some change from one to the other; interrupts of the device's driver push
   a spinning thread off its core without taking time that counts. What would disturb a launch is a
   thread that could go on but gets no core, and Linux counts just that (`schedstat`): such time is
   at most a tenth of the timed seconds. The canary holds there as well. A launch on a card also
   does not count if the card slowed itself down (heat, hardware slowdown, power brake), if another
   process computed on it, or if its clock was more than a tenth lower than in the best launch. A
   power cap is recorded only: it belongs to the card as it is set up, and holds for every launch.
5. **Enough.** The first launches show how much launches vary, and so how many it takes until the
   interval over them is tight, at most the maximum. So many are made, and the measurement is marked
   as not resolved if the maximum was not enough. To look after each launch whether the interval is
   tight by now would stop where launches agree by luck, with an interval that is too narrow.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from paretune.runners.failure import Failure
from paretune.runners.measure.admission import wait_until_idle
from paretune.runners.measure.statistic import CONFIDENCE, RESOLUTION, Statistic
from paretune.runners.measure.student import student_quantile
from paretune.runners.runtimes.launch import Launch
from paretune.runners.runtimes.lease import CPU, lease
from paretune.runners.runtimes.runner import Runner, Samples
from paretune.runners.runtimes.settings import MeasurementSettings
from paretune.spaces import RunSpec


@dataclass(frozen=True)
class Cost:
    """The seconds of a measurement, by use.

    Attributes:
        waiting_s: For the lease and for an idle host.
        starting_s: Starting processes, loading runtimes and models, first calls, ending.
        timed_s: Warm-up and timed work, disturbed launches included.
        processes: How many processes were launched.
    """

    waiting_s: float
    starting_s: float
    timed_s: float
    processes: int = 0


@dataclass(frozen=True)
class Timing:
    """The launches of one artifact, run in one way.

    Attributes:
        launches: The launches that count.
        contaminated: Number of disturbed launches, repeated ones included.
        is_resolved: Whether the intervals of p50 and p95 are as tight as asked for.
        host_was_idle: Whether nothing else was running when it began.
        cost: The seconds it took.
        first: How many of the first launches decided how many there are; ``None`` if a campaign
            decided.
    """

    launches: tuple[Launch, ...]
    contaminated: int
    is_resolved: bool
    host_was_idle: bool
    cost: Cost = Cost(0.0, 0.0, 0.0)
    first: int | None = None

    @property
    def canary_ms(self) -> float:
        """Median time of the canary over the launches."""
        return float(np.median([launch.canary_ms for launch in self.launches]))


def time_model(
    runner: Runner,
    model: Path,
    run: RunSpec,
    samples: Samples,
    folder: Path,
    settings: MeasurementSettings,
) -> Timing | Failure:
    """Time a model by the protocol.

    If there are too few undisturbed launches, the least disturbed ones make up the number: a
    machine that is never quiet still gets its measurement, marked as not resolved.

    Args:
        runner: The runner.
        model: The model file.
        run: How to run it.
        samples: Its inputs.
        folder: An empty folder for the work.
        settings: How much to measure.
    """
    launches: list[Launch] = []
    wanted, is_planned = settings.launches, False
    device, cores = runner.device(run), runner.cores(run)
    started, launching_s = time.monotonic(), 0.0
    with lease(device) as descriptor:
        idle = wait_until_idle(device, cores, settings.idle_wait_s)
        is_hopeful = idle
        while len(launches) < settings.max_launches + settings.extra_launches:
            began = time.monotonic()
            launch = runner.launch(model, run, samples, folder, settings, descriptor)
            launching_s += time.monotonic() - began
            if isinstance(launch, Failure):
                return launch
            launches.append(launch)
            clean = undisturbed(launches, run, device)
            if len(clean) >= wanted and not is_planned:
                wanted, is_planned = launches_needed(clean, settings), True
            if len(clean) >= wanted:
                break
            if launch not in clean and is_hopeful:
                # After one failed wait, do not wait before every launch.
                is_hopeful = wait_until_idle(device, cores, settings.idle_wait_s)
    timed_s = sum(launch.timed_s for launch in launches)
    waiting_s = time.monotonic() - started - launching_s
    cost = Cost(waiting_s, launching_s - timed_s, timed_s, len(launches))
    timing = settle(launches, run, device, settings, first=settings.launches)
    return replace(timing, host_was_idle=idle, cost=cost)


def settle(
    launches: Sequence[Launch],
    run: RunSpec,
    device: str,
    settings: MeasurementSettings,
    quiet_ms: Sequence[float] = (),
    first: int | None = None,
) -> Timing:
    """Return the launches that count: the undisturbed, or if these are few, the least disturbed.

    Args:
        launches: At least one.
        run: How they ran.
        device: Where they ran.
        settings: The required number and tightness.
        quiet_ms: See :func:`undisturbed`.
        first: See :class:`Timing`.
    """
    clean = undisturbed(launches, run, device, quiet_ms)
    disturbed = [launch for launch in launches if launch not in clean]
    disturbed.sort(key=lambda each: _disturbance(each, device))
    counted = clean + disturbed[: max(0, settings.launches - len(clean))]
    resolved = counted == clean and is_tight(clean, settings, first)
    return Timing(tuple(counted), len(disturbed), resolved, host_was_idle=True, first=first)


def undisturbed(
    launches: Sequence[Launch],
    run: RunSpec,
    device: str = CPU,
    quiet_ms: Sequence[float] = (),
) -> list[Launch]:
    """Return the undisturbed launches.

    The quickest of these launches shows how fast the core and the card are today and, with several
    threads, which CPU share to expect: waiting threads spin in some runtimes and sleep in others.

    Args:
        launches: At least one.
        run: How they ran.
        device: Where they ran.
        quiet_ms: For each launch, the canary's time on the quiet machine; without it, the quickest
            of these launches decides.
    """
    share: float | None = None
    if device == CPU:
        shares = [launch.cpu_share for launch in launches]
        share = max(shares) if run.threads > 1 else 1.0
    quickest = min(launch.canary_ms for launch in launches)
    clocks = [launch.card.sm_clock_mhz or 0.0 for launch in launches if launch.card]
    clock = max(clocks, default=None)
    pairs = zip(launches, quiet_ms or [quickest] * len(launches), strict=True)
    return [launch for launch, quiet in pairs if not launch.is_contaminated(share, quiet, clock)]


def _disturbance(launch: Launch, device: str) -> float:
    """Return a number by which the least disturbed launch comes first."""
    if device == CPU:
        return -launch.cpu_share
    card = launch.card
    return (launch.waited_share or 0.0) + (
        len(card.throttled) + card.other_processes if card else 0
    )


def is_tight(
    launches: Sequence[Launch], settings: MeasurementSettings, first: int | None = None
) -> bool:
    """Tell whether the intervals of p50 and p95 over launches are as narrow as asked for."""
    for values, tolerance in _judged(launches, settings):
        statistic = Statistic.over_launches(values, RESOLUTION, first)
        if statistic.high is None or math.log(statistic.high / statistic.value) > tolerance:
            return False
    return True


def launches_needed(launches: Sequence[Launch], settings: MeasurementSettings) -> int:
    """Return how many launches it takes until the intervals are tight, from the first few.

    The number follows from these alone, and not from later looks (Stein; see
    :meth:`Statistic.over_launches`).

    Args:
        launches: At least two.
        settings: The tolerances, and the maximum, which is returned if it takes more.
    """
    quantile = student_quantile(len(launches) - 1, (1 + CONFIDENCE) / 2)
    needed = len(launches)
    for values, tolerance in _judged(launches, settings):
        spread = float(np.std(values, ddof=1) / np.mean(values))
        room = tolerance**2 - RESOLUTION**2  # the resolution is a part of every interval
        if spread > 0:
            most = settings.max_launches
            enough = (quantile * spread) ** 2 / room if room > 0 else most
            needed = max(needed, math.ceil(min(enough, most)))
    return needed


def _judged(
    launches: Sequence[Launch], settings: MeasurementSettings
) -> list[tuple[list[float], float]]:
    """Return the launches' values of p50 and p95, each with the width that counts as tight."""
    tolerances = ((50, settings.p50_tolerance), (95, settings.p95_tolerance))
    return [([launch.percentile(q) for launch in launches], width) for q, width in tolerances]
