"""The measurement protocol: how to get a number that somebody else can reproduce.

1. **Lease.** The device is held for the whole measurement; builds on the same cores hold it too.
2. **Admission.** Nothing else may use the device: the protocol waits for an idle moment, and
   records it if there was none. It waits again after a disturbed launch, unless the last wait
   failed.
3. **Launches.** Every launch is a fresh process, pinned to as many cores as it has threads, with a
   deadline and a memory limit; it warms up until timing is steady. Launches, not calls, are the
   replicates: the variation between processes dwarfs the variation within one.
4. **Validity.** A launch is repeated, and counted as disturbed, if it waited for the processor (CPU
   time ÷ wall time below 0.9; with several threads or on a card, below 0.9 of that ratio in the
   quietest launch), was pushed off its core (more than one involuntary switch in ten calls), or if
   the canary, a fixed piece of arithmetic timed right after, took more than a tenth longer than in
   the quickest of these launches. Between measurements the canary is only recorded: a machine that
   is slower for an hour gives that hour's numbers, and `paretune status` shows how far it drifted.
5. **Enough.** Launches are added until the interval over them is tight, or the maximum is reached
   and the measurement is marked as not resolved.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from paretune.runners.failure import Failure
from paretune.runners.measure.admission import wait_until_idle
from paretune.runners.measure.statistic import RESOLUTION, Statistic
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
    """

    waiting_s: float
    starting_s: float
    timed_s: float


@dataclass(frozen=True)
class Timing:
    """The launches of one artifact, run in one way.

    Attributes:
        launches: The launches that count.
        contaminated: Number of disturbed launches, repeated ones included.
        is_resolved: Whether the intervals of p50 and p95 are as tight as asked for.
        host_was_idle: Whether nothing else was running when it began.
        cost: The seconds it took.
    """

    launches: tuple[Launch, ...]
    contaminated: int
    is_resolved: bool
    host_was_idle: bool
    cost: Cost = Cost(0.0, 0.0, 0.0)

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
    clean: list[Launch] = []
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
            if len(clean) >= settings.launches and (
                is_tight(clean, settings) or len(clean) >= settings.max_launches
            ):
                break
            if launch not in clean and is_hopeful:
                # After one failed wait, do not wait before every launch.
                is_hopeful = wait_until_idle(device, cores, settings.idle_wait_s)
    timed_s = sum(launch.timed_s for launch in launches)
    waiting_s = time.monotonic() - started - launching_s
    cost = Cost(waiting_s, launching_s - timed_s, timed_s)
    return replace(settle(launches, run, device, settings), host_was_idle=idle, cost=cost)


def settle(
    launches: Sequence[Launch], run: RunSpec, device: str, settings: MeasurementSettings
) -> Timing:
    """Return the launches that count: the undisturbed, or if these are few, the least disturbed.

    Args:
        launches: At least one.
        run: How they ran.
        device: Where they ran.
        settings: The required number and tightness.
    """
    clean = undisturbed(launches, run, device)
    disturbed = [launch for launch in launches if launch not in clean]
    disturbed.sort(key=lambda launch: -launch.cpu_share)
    counted = clean + disturbed[: max(0, settings.launches - len(clean))]
    resolved = counted == clean and is_tight(clean, settings)
    return Timing(tuple(counted), len(disturbed), resolved, host_was_idle=True)


def undisturbed(launches: Sequence[Launch], run: RunSpec, device: str = CPU) -> list[Launch]:
    """Return the undisturbed launches.

    The quickest of these launches shows how fast the core is today and, with several threads or on
    a card, which CPU share to expect: waiting threads spin in some runtimes and sleep in others.
    """
    share = 1.0
    if run.intra_op_threads > 1 or device != CPU:
        share = max(launch.cpu_share for launch in launches)
    quiet = min(launch.canary_ms for launch in launches)
    return [launch for launch in launches if not launch.is_contaminated(share, quiet)]


def is_tight(launches: Sequence[Launch], settings: MeasurementSettings) -> bool:
    """Tell whether the intervals of p50 and p95 over launches are as narrow as asked for."""
    for q, tolerance in ((50, settings.p50_tolerance), (95, settings.p95_tolerance)):
        values = [launch.percentile(q) for launch in launches]
        statistic = Statistic.over_launches(values, RESOLUTION)
        if statistic.high is None or statistic.high - statistic.value > tolerance * statistic.value:
            return False
    return True
