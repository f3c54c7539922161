"""The campaign: several models timed in turns, so that a slow hour affects all of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from paretune.runners.failure import Failure
from paretune.runners.measure.admission import wait_until_idle
from paretune.runners.measure.protocol import Timing, settle
from paretune.runners.runtimes.launch import Launch
from paretune.runners.runtimes.lease import lease
from paretune.runners.runtimes.runner import Runner, Samples
from paretune.runners.runtimes.settings import MeasurementSettings
from paretune.spaces import RunSpec


@dataclass(frozen=True)
class Launched:
    """One launch of a campaign.

    Attributes:
        launch: The launch.
        host_was_idle: Whether nothing else was running when it began.
    """

    launch: Launch
    host_was_idle: bool


@dataclass(eq=False)
class Entry:
    """A model in a campaign, with one way to run it.

    Attributes:
        artifact: The model's digest.
        run: How it is run.
        launches: Its launches so far.
        failure: Why it cannot run, if it cannot.
        host_was_idle: Whether nothing else was running when each of its launches began.
        rounds: The number of the round of each launch.
    """

    artifact: str
    run: RunSpec
    launches: list[Launch] = field(default_factory=list)
    failure: Failure | None = None
    host_was_idle: bool = True
    rounds: list[int] = field(default_factory=list)


def launch_once(
    runner: Runner,
    model: Path,
    run: RunSpec,
    samples: Samples,
    folder: Path,
    settings: MeasurementSettings,
) -> Launched | Failure:
    """Time a model in one fresh process, once its device is free and idle.

    Args:
        runner: Runs the model.
        model: The model file.
        run: How to run it.
        samples: The inputs of the model.
        folder: An empty folder for the work.
        settings: How much to measure.
    """
    device, cores = runner.device(run), runner.cores(run)
    with lease(device) as held:
        idle = wait_until_idle(device, cores, settings.idle_wait_s)
        launch = runner.launch(model, run, samples, folder, settings, held)
    return launch if isinstance(launch, Failure) else Launched(launch, idle)


class Campaign:
    """Models timed in rounds: in each, every model has one launch in a fresh process.

    The launches of a model are spread over the whole campaign, so that drift from minute to minute
    widens its interval and does not favour it. No model stops before the others: otherwise, models
    whose first launches agree by luck would stop early, with an interval that is too narrow
    (optional stopping: Anscombe, "Fixed-sample-size analysis of sequential observations", 1954).

    Args:
        runners: By name.
        settings: How much a launch measures, and the minimum and maximum number of launches.
        entries: The models to measure.
    """

    def __init__(
        self,
        runners: Mapping[str, Runner],
        settings: MeasurementSettings,
        entries: Sequence[Entry],
    ) -> None:
        self.runners = runners
        self.settings = settings
        self.entries = list(entries)
        self._round = 0
        self._canary_ms: dict[int, float] = {}

    def round(
        self,
        launch: Callable[[Entry], Launched | Failure],
        out: Collection[Entry] = (),
        deadline: float | None = None,
    ) -> int:
        """Launch every entry once, unless all are settled or the entry has the maximum.

        Args:
            launch: Launches an entry.
            out: Entries to skip.
            deadline: On :func:`time.monotonic`; no launch begins after it.

        Returns:
            The number of launches.
        """
        running = [entry for entry in self.entries if entry not in out and not entry.failure]
        if all(self.is_settled(entry) for entry in running):
            return 0
        count = 0
        self._round += 1
        for entry in running:
            if self._has_most(entry):
                continue
            if deadline is not None and time.monotonic() >= deadline:
                break
            launched = launch(entry)
            count += 1
            if isinstance(launched, Failure):
                entry.failure = launched
            else:
                entry.launches.append(launched.launch)
                entry.rounds.append(self._round)
                canary_ms = launched.launch.canary_ms
                known = self._canary_ms.get(self._round, canary_ms)
                self._canary_ms[self._round] = min(known, canary_ms)
                entry.host_was_idle &= launched.host_was_idle
        return count

    def timing(self, entry: Entry) -> Timing:
        """Return the timing of an entry's launches so far.

        A launch's canary is compared with those of its own round and of the rounds beside it: a
        machine that becomes slower stays comparable with itself, while the quickest moment of the
        whole campaign would make every later launch a disturbed one.
        """
        device = self.runners[entry.run.runner].device(entry.run)
        quiet_ms = [self._quiet_ms(number) for number in entry.rounds]
        timing = settle(entry.launches, entry.run, device, self.settings, quiet_ms)
        return replace(timing, host_was_idle=entry.host_was_idle)

    def _quiet_ms(self, number: int) -> float:
        """Return the quickest canary of a round and of those beside it."""
        beside = (number - 1, number, number + 1)
        return min(self._canary_ms[each] for each in beside if each in self._canary_ms)

    def is_settled(self, entry: Entry) -> bool:
        """Tell whether an entry has enough launches, or the maximum."""
        settings = self.settings
        if len(entry.launches) < settings.launches:
            return False
        if self._has_most(entry):
            return True
        timing = self.timing(entry)
        clean = len(entry.launches) - timing.contaminated
        return clean >= settings.launches and timing.is_resolved

    def _has_most(self, entry: Entry) -> bool:
        """Tell whether an entry has the maximum number of launches."""
        most = self.settings.max_launches
        if len(entry.launches) < most:
            return False
        if len(entry.launches) >= most + self.settings.extra_launches:
            return True
        return len(entry.launches) - self.timing(entry).contaminated >= most
