"""Benchmark: what does a fleet of many devices cost the processes that search?

    python experiments/benchmarks/fleet_load.py [--devices 16] [--trials 1000]

A real scheduler, hosts that build and a host per device; only the jobs are simulated: they answer
at once. Each device has a study and a search, as after `paretune search --device A --device B …`,
and all of them run at the same time: first each by itself, without the fleet, then by the fleet.
Printed per quarter of the trials: the processor time of a search per trial (proposals, storage, and
talking with the fleet; MLflow is left out, see overhead.py), the median over the searches, and what
memory they hold. The difference is what the fleet costs.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import psutil
from problem import Problem
from simulated_executor import SAMPLES, SimulatedWork
from simulated_study import loop_of

from paretune.runners.execute.executor import BUILD, Site
from paretune.runners.execute.job import Job
from paretune.runners.execute.ongoing_stage import OngoingStage
from paretune.runners.execute.outcome import Outcome
from paretune.runners.fleet.assignment import Assignment
from paretune.runners.fleet.dask_executor import DaskExecutor
from paretune.runners.fleet.fleet import Fleet, connected
from paretune.runners.fleet.fleet_host import FleetHost, as_plugin, slot_of
from paretune.runners.runtimes.settings import MeasurementSettings
from paretune.runners.store.artifact_store import ArtifactStore
from paretune.search.record.history import History
from paretune.search.record.trial import TrialRecord
from paretune.search.run.budget import Budget
from paretune.search.run.reporter import Reporter
from paretune.spaces import RunSpec

QUARTERS = 4
LIMIT_MS = 100.0
WARM_TRIALS = 20
BUILDERS = 4


class AtOnce:
    """An executor that answers at once, on a simulated problem.

    Args:
        work: The problem's jobs.
    """

    def __init__(self, work: SimulatedWork) -> None:
        self._work = work

    def site(self, run: RunSpec) -> Site:
        """Return where a candidate is built and measured (see Executor)."""
        return Site(("onnx",), slot_of("any"), SAMPLES)

    def submit(self, job: Job, slot: str) -> Future[Outcome]:
        """Do a job (see Executor)."""
        future: Future[Outcome] = Future()
        future.set_result(self._work.do(job))
        return future

    def stages(self) -> Sequence[OngoingStage]:
        """Return nothing: stages take no time (see Executor)."""
        return ()

    def wait(self, timeout_s: float | None = None) -> None:
        """There is nothing to wait for."""

    def capacity(self, slot: str) -> int:
        """Return how many jobs a slot takes at once (see Executor)."""
        return BUILDERS if slot == BUILD else 1

    def has_room(self, building: int, measuring: int) -> bool:
        """Return whether one more trial would have a slot soon (see Executor)."""
        return building + measuring < BUILDERS

    def cancel(self) -> None:
        """There is nothing to stop."""


class Hosts:
    """All hosts of the fleet, in one process; what one has built, the others know."""

    def __init__(self) -> None:
        self._work: dict[Path, SimulatedWork] = {}

    def executor(self, assignment: Assignment) -> Any:
        """Return what does a study's jobs."""
        seed = len(self._work)
        return AtOnce(self._work.setdefault(assignment.study, SimulatedWork(Problem(seed))))

    async def serve(self, address: str, devices: int) -> None:
        """Offer the hosts to a scheduler until it ends."""
        import distributed

        slots = [BUILD] * BUILDERS + [slot_of(f"board{n}") for n in range(devices)]
        workers = [
            distributed.Worker(
                address,
                name=f"host{number}",
                nthreads=2,
                resources={slot: 1.0},
                plugins=(as_plugin(FleetHost(self.executor, slot.partition(":")[2] or None)),),
                dashboard=False,
            )
            for number, slot in enumerate(slots)
        ]
        await asyncio.gather(*workers)
        await asyncio.gather(*(worker.finished() for worker in workers))


class Whole(ArtifactStore):
    """A store that has every file: nothing is built here."""

    def get(self, name: str) -> Path | None:
        """Return a path."""
        return self.root


@dataclass
class Stated:
    """What an executor asks an evaluator."""

    store: ArtifactStore
    settings: MeasurementSettings
    samples: Any = SAMPLES
    fingerprint: str = ""
    judging: str = ""
    quality_metric: str = "accuracy"
    setups: tuple[Any, ...] = ()
    versions: Mapping[str, Any] = field(default_factory=dict)


class Meter(Reporter):
    """Notes processor time and memory after each quarter of the trials.

    Args:
        trials: The number of trials.
    """

    def __init__(self, trials: int) -> None:
        self._marks = [round(trials * (q + 1) / QUARTERS) for q in range(QUARTERS)]
        self.seconds = [time.process_time()]
        self.megabytes: list[float] = []

    def trial_finished(self, record: TrialRecord, history: History) -> None:
        """Note both at the end of a quarter."""
        if len(history.records) in self._marks:
            self.seconds.append(time.process_time())
            self.megabytes.append(psutil.Process().memory_info().rss / 1e6)


def search(
    address: str, folder: Path, trials: int, number: int
) -> list[tuple[list[float], list[float]]]:
    """Search by itself, then by the fleet; return milliseconds per trial and megabytes of both."""
    found = []
    with Fleet(address, f"board{number}") as fleet:
        for name in ("warm", "alone", "fleet"):
            own = folder / f"{name}{number}"
            own.mkdir()
            (own / "study.yaml").touch()
            stated: Any = Stated(Whole(own / "store"), MeasurementSettings())
            executor: Any = AtOnce(SimulatedWork(Problem(number)))
            if name == "fleet":
                executor = DaskExecutor(fleet, own / "study.yaml", stated)
            many = trials if name != "warm" else WARM_TRIALS
            meter = Meter(many)
            loop_of(own, executor, meter, Problem(number), number).run(Budget(many))
            spent = 1e3 * np.diff(meter.seconds) / (many / QUARTERS)
            found.append((list(spent), meter.megabytes))
    return found[1:]


def serve_hosts(address: str, devices: int) -> None:
    """Run all hosts."""
    with suppress(KeyboardInterrupt):
        asyncio.run(Hosts().serve(address, devices))


def main() -> int:
    """Print the table; return 1 if a trial costs over 100 ms in the median."""
    from distributed import LocalCluster

    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--devices", type=int, default=16)
    parser.add_argument("--trials", type=int, default=1000, help="in all")
    options = parser.parse_args()
    each = round(options.trials / options.devices)
    spawn = multiprocessing.get_context("spawn")
    with (
        tempfile.TemporaryDirectory() as folder,
        LocalCluster(n_workers=0, host="127.0.0.1", dashboard_address=":0") as cluster,
        ProcessPoolExecutor(options.devices, mp_context=spawn) as searches,
    ):
        address = cluster.scheduler_address
        hosts = spawn.Process(target=serve_hosts, args=(address, options.devices), daemon=True)
        hosts.start()
        with connected(address) as client:
            client.wait_for_workers(BUILDERS + options.devices, 120)
        began = time.perf_counter()
        do = partial(search, address, Path(folder), each)
        found = list(searches.map(do, range(options.devices)))
        took = time.perf_counter() - began
        hosts.kill()
    print(f"{options.devices} searches of {each} trials, at the same time, in {took:.0f} s")
    print(f"{'until trial':>11} {'alone ms':>9} {'fleet ms':>9} {'alone MB':>9} {'fleet MB':>9}")
    for quarter in range(QUARTERS):
        ms = [median(search[way][0][quarter] for search in found) for way in range(2)]
        held = [median(search[way][1][quarter] for search in found) for way in range(2)]
        until = round(each * (quarter + 1) / QUARTERS)
        print(f"{until:>11} {ms[0]:>9.1f} {ms[1]:>9.1f} {held[0]:>9.0f} {held[1]:>9.0f}")
    return int(median(float(np.mean(search[1][0])) for search in found) > LIMIT_MS)


if __name__ == "__main__":
    sys.exit(main())
