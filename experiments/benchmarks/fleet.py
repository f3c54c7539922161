"""Benchmark: how much of a night do more build hosts save?

    python experiments/benchmarks/fleet.py [--hosts 1 2 4] [--devices 1] [--trainings 16] …

A scheduler, some hosts that build and some that measure run on this machine, as on a fleet: each is
a process of its own with cores that it need not share (leases of its own). A study of students runs
on them, whose trainings sleep for so many seconds: so that what is timed is the fleet's own doing,
and not this machine's cores. With several devices, each has a study and tries every student, but
no training is done twice. Printed: the time of the search with each number of hosts, how many times
as fast as with the first number that is, and what share of the hosts it used.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import yaml
from distributed import Client, LocalCluster

WORKLOAD = '''
import os, time
import numpy as np
from torch import nn
from paretune import Data, Split, Workload


class Sleeping(Workload):
    """Students that differ in nothing but their names, whose trainings sleep."""

    def models(self):
        students = {f"student{n}": lambda: nn.Linear(8, 4) for n in range(TRAININGS)}
        return {"reference": lambda: nn.Linear(8, 4), **students}

    def data(self):
        inputs = np.random.default_rng(0).normal(size=(64, 8)).astype(np.float32)
        split = Split(inputs, inputs[:, :4].argmax(1))
        return Data(split, split, split, split)

    def train_reference(self, model, data):
        """It is there already."""

    def train(self, model, data, *, epochs, peak_learning_rate, seed):
        time.sleep(SECONDS * epochs / self.recipe().distill_epochs)
        return []
'''


def main() -> int:
    """Print a row per number of hosts."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--hosts", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--devices", type=int, nargs="+", default=[1], help="for each of --hosts")
    parser.add_argument("--trainings", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=15.0)
    options = parser.parse_args()
    devices = options.devices * (len(options.hosts) if len(options.devices) == 1 else 1)
    print(f"{options.trainings} trainings of {options.seconds:g} s")
    print(f"{'build hosts':>11} {'devices':>8} {'search s':>9} {'speed':>7} {'efficiency':>11}")
    first: tuple[int, float] | None = None
    for hosts, measuring in zip(options.hosts, devices, strict=True):
        with tempfile.TemporaryDirectory() as folder:
            text = workload(options.trainings, options.seconds)
            seconds = searched(Path(folder), text, hosts, measuring, options.trainings)
        first = first or (hosts, seconds)
        speed = first[1] / seconds
        efficiency = speed * first[0] / hosts
        row = f"{hosts:>11} {measuring:>8} {seconds:>9.1f} {speed:>6.2f}× {efficiency:>11.0%}"
        print(row, flush=True)
    return 0


def workload(trainings: int, seconds: float) -> str:
    """Return the workload's file."""
    return WORKLOAD.replace("TRAININGS", str(trainings)).replace("SECONDS", str(seconds))


def searched(folder: Path, text: str, hosts: int, devices: int, trainings: int) -> float:
    """Return the seconds that a search takes, from the command to its end."""
    (folder / "workload.py").write_text(text, "utf-8")
    students = [f"student{n}" for n in range(trainings)]
    study = {
        "name": "fleet",
        "workload": "workload.py:Sleeping",
        "space": {"student": ["reference", *students], "quantization": ["fp32"]},
        "budget": {"trials": trainings + 1},
        "confirmation": {"enabled": False},
        "tracking": False,
    }
    (folder / "study.yaml").write_text(yaml.safe_dump(study), "utf-8")
    with ExitStack() as running:
        cluster = running.enter_context(
            LocalCluster(n_workers=0, host="127.0.0.1", dashboard_address=":0")
        )
        address = cluster.scheduler_address
        for number in range(hosts):
            running.enter_context(host(folder, address, f"builder{number}", "--builds", "1"))
        boards = [f"board{number}" for number in range(devices)]
        for board in boards:
            running.enter_context(host(folder, address, board, "--device", board))
        with Client(address, set_as_default=False) as client:
            client.wait_for_workers(hosts + devices, 120)
        started = time.monotonic()
        command = [sys.executable, "-m", "paretune", "search", folder / "study.yaml"]
        chosen = [word for board in boards for word in ("--device", board)]
        done = subprocess.run(
            [*command, "--scheduler", address, *chosen], capture_output=True, text=True, check=False
        )
        took = time.monotonic() - started
        if done.returncode:
            raise SystemExit(done.stdout[-3000:] + done.stderr[-3000:])
    return took


@contextmanager
def host(folder: Path, address: str, name: str, *offer: str) -> Iterator[None]:
    """Run `paretune worker` meanwhile."""
    command = [sys.executable, "-m", "paretune", "worker", "--scheduler", address, "--name", name]
    leases = os.environ | {"PARETUNE_LEASES": str(folder / name)}
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen([*command, *offer], stdout=log, stderr=log, env=leases)
        try:
            yield
        finally:
            process.terminate()
            process.wait(30)


if __name__ == "__main__":
    sys.exit(main())
