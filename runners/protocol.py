"""The measurement protocol: how a number comes about that somebody else will get, too.

1. **Lease.** The device is held for the whole measurement; builds on the same cores hold it too.
2. **Admission.** The host must be idle; it is waited for, and told if it never was.
3. **Launches.** Every launch is a fresh process, pinned to as many cores as it has threads, with a
   deadline; it warms up until timing is steady. Launches, not calls, are the replicates: the spread
   from process to process dwarfs the spread within one.
4. **Validity.** A launch that was kept waiting (CPU time below 0.9 of wall time; with several
   threads, of the quietest launch's) or pushed off its core (more than one involuntary switch in
   ten calls) is repeated and counted.
5. **Enough.** Launches are added until the t interval over them is tight, or the cap is reached and
   the measurement says that it is not resolved.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from runners.failure import Failure
from runners.lease import lease
from runners.measurement import Launch, Statistic
from runners.runner import Runner
from runners.settings import MeasurementSettings
from spaces import RunSpec

_IDLE_SHARE = 0.2
_LOOK_SECONDS = 0.1


@dataclass(frozen=True)
class Timing:
    """The launches of one artifact run one way.

    Attributes:
        launches: Those that count.
        contaminated: How many of all were disturbed.
        is_resolved: Whether the intervals of p50 and p95 are as tight as asked for.
        host_was_idle: Whether nothing else was running when it began.
    """

    launches: tuple[Launch, ...]
    contaminated: int
    is_resolved: bool
    host_was_idle: bool


def time_model(
    runner: Runner,
    model: Path,
    run: RunSpec,
    inputs: Sequence[Path],
    folder: Path,
    settings: MeasurementSettings,
) -> Timing | Failure:
    """Time a model by the protocol.

    If too few undisturbed launches come about, the least disturbed make up the number: a machine
    that is never quiet still gets its measurement, marked as what it is.

    Args:
        runner: What runs it.
        model: The model file.
        run: How to run it.
        inputs: A ``.npy`` file of real samples for each of the model's inputs, in order.
        folder: An empty folder for the work.
        settings: How much to measure.
    """
    launches: list[Launch] = []
    clean: list[Launch] = []
    with lease(runner.device(run)) as descriptor:
        idle = wait_until_idle(settings.idle_wait_s)
        while len(launches) < settings.max_launches + settings.extra_launches:
            launch = runner.launch(model, run, inputs, folder, settings, descriptor)
            if isinstance(launch, Failure):
                return launch
            launches.append(launch)
            clean = undisturbed(launches, run)
            if len(clean) >= settings.launches and (
                is_tight(clean, settings) or len(clean) >= settings.max_launches
            ):
                break
    disturbed = [launch for launch in launches if launch not in clean]
    disturbed.sort(key=lambda launch: -launch.cpu_share)
    counted = clean + disturbed[: max(0, settings.launches - len(clean))]
    resolved = counted == clean and is_tight(clean, settings)
    return Timing(tuple(counted), len(disturbed), resolved, idle)


def undisturbed(launches: Sequence[Launch], run: RunSpec) -> list[Launch]:
    """Return the launches that nothing disturbed.

    With several threads the quietest launch so far says which CPU share to expect: the idle threads
    of some runtimes spin, those of others sleep.
    """
    share = 1.0
    if run.intra_op_threads > 1:
        share = max(launch.cpu_share for launch in launches)
    return [launch for launch in launches if not launch.is_contaminated(share)]


def is_tight(launches: Sequence[Launch], settings: MeasurementSettings) -> bool:
    """Tell whether the intervals of p50 and p95 over launches are as narrow as asked for."""
    for q, tolerance in ((50, settings.p50_tolerance), (95, settings.p95_tolerance)):
        statistic = Statistic.over_launches([launch.percentile(q) for launch in launches])
        if statistic.high is None or statistic.high - statistic.value > tolerance * statistic.value:
            return False
    return True


def wait_until_idle(limit_s: float) -> bool:
    """Wait until the host is idle; return ``False`` if it was not for the whole time."""
    import psutil

    deadline = time.monotonic() + limit_s
    while True:
        busy = psutil.cpu_percent(interval=_LOOK_SECONDS) / 100
        if busy <= _IDLE_SHARE:
            return True
        if time.monotonic() >= deadline:
            return False
