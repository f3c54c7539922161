"""Benchmark: does a fleet's device measure the same as the same machine by hand?

    python experiments/benchmarks/fleet_device.py [--rounds 40] [--busy]

A scheduler, a host that builds and one that only measures run on this machine, each a process of
its own. One artifact is timed in fresh processes, in turns: by the device through a
``DaskExecutor``, as a search does, and in this process by a ``LocalExecutor``. Who is first
alternates from round to round. With ``--busy`` the host that builds trains all the time on the last
core, and what measures has the others: as a build server that shares nothing with the device but
the machine, so memory and caches are shared, which real build servers do not do.

Printed: the ratio of the fleet's times to those by hand (above 1, the fleet is slower): the
geometric mean over the rounds, with its 95 % t interval.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import yaml
from distributed import Client, LocalCluster

from paretune.runners.execute.build_pool import BuildPool
from paretune.runners.execute.executor import BUILD, Executor, done
from paretune.runners.execute.job import Build, Launch
from paretune.runners.execute.local_executor import LocalExecutor
from paretune.runners.execute.no_builds import NoBuilds
from paretune.runners.execute.outcome import Outcome
from paretune.runners.failure import Failure
from paretune.runners.fleet.dask_executor import DaskExecutor
from paretune.runners.fleet.fleet import Fleet
from paretune.runners.measure.statistic import CONFIDENCE
from paretune.runners.measure.student import student_quantile
from paretune.runners.runtimes import launch
from paretune.search.study.build_workers import worker_settings
from paretune.search.study.open_study import OpenStudy
from paretune.search.study.parts import study_evaluator
from paretune.spaces import BuildSpec, RunSpec

WORKLOAD = '''
import time
import numpy as np
import torch
from torch import nn
from paretune import Data, Split, Workload


def net():
    wide = [nn.Linear(256, 1024), nn.ReLU(), nn.Linear(1024, 1024), nn.ReLU()]
    return nn.Sequential(*wide, nn.Linear(1024, 8))


class Training(Workload):
    """Students whose trainings never rest."""

    def models(self):
        return {"reference": net} | {f"student{n}": net for n in range(STUDENTS)}

    def data(self):
        inputs = np.random.default_rng(0).normal(size=(256, 256)).astype(np.float32)
        split = Split(inputs, inputs[:, :8].argmax(1))
        return Data(split, split, split, split)

    def train_reference(self, model, data):
        """It is there already."""

    def train(self, model, data, *, epochs, peak_learning_rate, seed):
        inputs, optimizer = torch.randn(256, 256), torch.optim.SGD(model.parameters(), 1e-6)
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            optimizer.zero_grad()
            model(inputs).square().mean().backward()
            optimizer.step()
        return []
'''
STUDENTS = 1000  # more trainings than any run takes
SECONDS = 30.0  # of a training
RUN = RunSpec("onnxruntime", "CPUExecutionProvider", 1, 1)


def main() -> int:
    """Print the ratios of p50 and p95."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=40, help="at least 2")
    parser.add_argument("--busy", action="store_true", help="a build host trains meanwhile")
    options = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    if options.rounds < 2 or (options.busy and len(cores) < 2):
        parser.error("two rounds at least; --busy needs two cores")
    with tempfile.TemporaryDirectory() as folder:
        times = np.array(compared(Path(folder), options.rounds, options.busy, cores))
    state = "a build host trains on another core" if options.busy else "nothing else runs"
    print(f"{options.rounds} rounds, {state}")
    print(f"{'':>5} {'by hand ms':>11} {'fleet ms':>9}   fleet / by hand")
    for place, name in enumerate(("p50", "p95")):
        fleet, by_hand = times[:, 0, place], times[:, 1, place]
        ratio, half = mean_ratio(fleet, by_hand)
        low, high = np.exp(np.log(ratio) - half), np.exp(np.log(ratio) + half)
        print(
            f"{name:>5} {np.median(by_hand):>11.4f} {np.median(fleet):>9.4f}   "
            f"{ratio:.3f} [{low:.3f}, {high:.3f}]"
        )
    return 0


def mean_ratio(ones: Sequence[float], others: Sequence[float]) -> tuple[float, float]:
    """Return the geometric mean of paired ratios, and the half-width of its log's interval."""
    logs = np.log(np.asarray(ones) / np.asarray(others))
    quantile = student_quantile(len(logs) - 1, (1 + CONFIDENCE) / 2)
    return float(np.exp(logs.mean())), float(quantile * logs.std(ddof=1) / len(logs) ** 0.5)


def compared(
    folder: Path, rounds: int, busy: bool, cores: list[int]
) -> list[list[tuple[float, float]]]:
    """Return p50 and p95 in ms, by the fleet and by hand, of each round."""
    study = OpenStudy(written_study(folder))
    building, measuring = ({cores[-1]}, {*cores[:-1]}) if busy else ({*cores}, {*cores})
    os.environ["PARETUNE_LEASES"] = str(folder / "leases")  # this process's and the device's
    with ExitStack() as running:
        cluster = running.enter_context(
            LocalCluster(n_workers=0, host="127.0.0.1", dashboard_address=":0")
        )
        address = cluster.scheduler_address
        own = {"PARETUNE_LEASES": str(folder / "leases of the builder")}  # as another machine
        running.enter_context(host(folder, address, building, own, "builder", "--builds", "1"))
        running.enter_context(host(folder, address, measuring, {}, "board", "--device", "board"))
        with Client(address, set_as_default=False) as client:
            client.wait_for_workers(2, 120)
        fleet = running.enter_context(Fleet(address))
        with BuildPool(worker_settings(study)) as pool:
            evaluator = study_evaluator(study, pool.service, pool.describe(), fleet=fleet)
        by_hand = LocalExecutor(NoBuilds(), evaluator)
        os.sched_setaffinity(0, measuring)
        executor = DaskExecutor(fleet, study.file, evaluator)
        built = done(executor, Build(BuildSpec("reference", 0.0, "fp32")), RUN)
        if isinstance(built, Failure):
            raise SystemExit(f"{built.message}\n{built.log}")
        trainings = Trainings(executor, study) if busy else None
        found = []
        for number in range(rounds):
            if trainings is not None:
                trainings.go_on()
            pair: dict[int, tuple[float, float]] = {}
            for side in (0, 1) if number % 2 == 0 else (1, 0):
                pair[side] = timed((executor, by_hand)[side], built.artifact, number, side)
            found.append([pair[0], pair[1]])
        executor.close(kill=True)
    return found


def timed(executor: Executor, artifact: str, number: int, side: int) -> tuple[float, float]:
    """Return p50 and p95 of a fresh process, in ms."""
    samples = executor.site(RUN).samples
    job = Launch(artifact, RUN, samples, number, occasion=f"side {side}")
    launched = done(executor, job, RUN)
    if isinstance(launched, Failure):
        raise SystemExit(f"{launched.message}\n{launched.log}")
    times = launched.launch.latency_ms
    return launch.percentile(times, 50), launch.percentile(times, 95)


class Trainings:
    """Keeps two trainings submitted, so that the build host is never without one."""

    def __init__(self, executor: DaskExecutor, study: OpenStudy) -> None:
        self._executor = executor
        self._store = study.store
        self._given = executor.site(RUN).building
        self._futures: list[Future[Outcome]] = []
        self._number = 0

    def go_on(self) -> None:
        """Submit what is missing, and wait until a training has begun.

        Raises:
            SystemExit: If a training has failed.
        """
        for future in [each for each in self._futures if each.done()]:
            if isinstance(value := future.result().value, Failure):
                raise SystemExit(f"{value.message}\n{value.log}")
            self._futures.remove(future)
        while len(self._futures) < 2:
            job = Build(BuildSpec(f"student{self._number}", 0.0, "fp32"))
            self._futures.append(self._executor.submit(replace(job, given=self._given), BUILD))
            self._number += 1
        while not any(each["stage"].startswith("distill") for each in self._store.executions()):
            self._executor.wait(0.1)


def written_study(folder: Path) -> Path:
    """Write the study and its workload; return its file."""
    text = WORKLOAD.replace("STUDENTS", str(STUDENTS)).replace("SECONDS", str(SECONDS))
    (folder / "workload.py").write_text(text, "utf-8")
    values = {
        "name": "device",
        "workload": "workload.py:Training",
        "space": {"quantization": ["fp32"], "student": ["reference", "student0"]},
        "budget": {"trials": 2},
        "measurement": {"idle_wait_s": 0.0, "min_seconds": 1.0},
        "tracking": False,
    }
    (folder / "study.yaml").write_text(yaml.safe_dump(values), "utf-8")
    return folder / "study.yaml"


@contextmanager
def host(
    folder: Path, address: str, cores: set[int], own: dict[str, str], name: str, *offer: str
) -> Iterator[None]:
    """Run `paretune worker` meanwhile, on some cores."""
    command = [sys.executable, "-m", "paretune", "worker", "--scheduler", address, "--name", name]
    here = os.sched_getaffinity(0)
    with (folder / f"{name}.log").open("wb") as log:
        os.sched_setaffinity(0, cores)  # a child inherits it
        process = subprocess.Popen([*command, *offer], stdout=log, stderr=log, env=os.environ | own)
        os.sched_setaffinity(0, here)
        try:
            yield
        finally:
            process.terminate()
            process.wait(30)


if __name__ == "__main__":
    sys.exit(main())
