"""A model with a way to serve it: its calls are timed, and loads are served."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from paretune.runners.failure import Failure
from paretune.runners.measure.admission import wait_until_idle
from paretune.runners.measure.load.call_times import CallTimes
from paretune.runners.measure.load.queue_model import Batching
from paretune.runners.measure.protocol import Timing, time_model
from paretune.runners.runtimes.lease import lease
from paretune.runners.runtimes.runner import Runner, Samples
from paretune.runners.runtimes.serving.served import ServeSettings, ServingLaunch
from paretune.runners.runtimes.settings import MeasurementSettings
from paretune.spaces import RunSpec


@dataclass(frozen=True)
class MeasuredCalls:
    """The calls of a number of instances, timed together, by the number of requests in a call.

    Attributes:
        timings: The launches, by the number of requests.
        replaced: Disturbed launches that were replaced at most, for each size.
    """

    timings: dict[int, Timing]
    replaced: int

    @property
    def times(self) -> CallTimes:
        """The times of the calls."""
        by_size = {
            size: [np.asarray(launch.latency_ms) for launch in timing.launches]
            for size, timing in self.timings.items()
        }
        launches = [launch for timing in self.timings.values() for launch in timing.launches]
        return CallTimes(by_size, any(launch.has_fixed_batch for launch in launches))

    @property
    def is_disturbed(self) -> bool:
        """Whether disturbed launches had to be counted: there were too few without disturbance."""
        return any(each.contaminated > self.replaced for each in self.timings.values())


@dataclass(frozen=True)
class ServedModel:
    """A model with a way to serve it.

    Attributes:
        runner: The runner.
        model: The model file.
        run: How it is run; its threads count, its instances and batch size do not.
        samples: Its inputs.
        idle_wait_s: Longest wait for an idle host before each launch.
    """

    runner: Runner
    model: Path
    run: RunSpec
    samples: Samples
    idle_wait_s: float = 5.0

    def with_threads(self, threads: int) -> ServedModel:
        """Return the same model with so many threads for each instance."""
        return replace(self, run=replace(self.run, intra_op_threads=threads))

    def calls(
        self,
        instances: int,
        sizes: Sequence[int],
        settings: MeasurementSettings,
        max_ms: float,
        told: Callable[[int], None] = lambda _: None,
    ) -> MeasuredCalls | Failure:
        """Time calls of several sizes by the protocol, with so many instances at work.

        Args:
            instances: Sessions side by side.
            sizes: Numbers of requests in a call, the smallest first. A size that does not run ends
                it, as does one whose median call is slower than ``max_ms``.
            settings: How much to measure.
            max_ms: The latency budget.
            told: Given each size before it is timed.

        Returns:
            The launches, or why not even the smallest size runs.
        """
        settings = replace(settings, idle_wait_s=self.idle_wait_s)
        timings: dict[int, Timing] = {}
        for size in sizes:
            told(size)
            run = replace(self.run.with_instances(instances), batch_size=size)
            with tempfile.TemporaryDirectory() as name:
                folder = Path(name)
                timing = time_model(self.runner, self.model, run, self.samples, folder, settings)
            if isinstance(timing, Failure):
                if not timings:
                    return timing
                break
            timings[size] = timing
            if np.median([launch.percentile(50) for launch in timing.launches]) > max_ms:
                break
        return MeasuredCalls(timings, settings.extra_launches)

    def serve(
        self, loads: Sequence[NDArray[np.float64]], batching: Batching, settings: ServeSettings
    ) -> ServingLaunch | Failure:
        """Serve loads in a fresh process, once the device is free and the host is idle."""
        run = self.run.with_instances(batching.instances)
        with tempfile.TemporaryDirectory() as name, lease(self.runner.device(run)) as held:
            wait_until_idle(self.runner.device(run), self.runner.cores(run), self.idle_wait_s)
            return self.runner.serve(
                self.model, run, self.samples, Path(name), loads, settings, held
            )
