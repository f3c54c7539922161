"""Faults of a fleet: whatever breaks when, finished work is neither lost nor repeated.

A program with a seed breaks hosts, scheduler, search, network, disk and store while a study runs on
a scheduler, two hosts that build and one that measures; whatever has ended is started again, as a
service manager does. Everybody reaches the scheduler through a forwarder, which can stand still: a
network that is cut. The clock of one host is an hour fast.
"""

import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from conftest import QUICK_CONFIRMATION, write_study
from study_checks import check_consistency, check_nothing_ran_twice
from test_kills import look, problems

from paretune.search.study.open_study import load_history

pytest.importorskip("distributed", reason="the extra `fleet` is not installed")

TRIALS = 10
FAULTS = int(os.environ.get("PARETUNE_FAULTS", "20"))
AN_HOUR = 3600

HOST = """
import os, sys, time
hour, log = int(sys.argv[1]), sys.argv[2]
clock = time.time
time.time = lambda: clock() + hour
from contextlib import contextmanager
from paretune.runners.runtimes import lease as leases
from paretune.runners.runtimes import process_runner
take = leases.lease


def note(event):
    with open(log, "a") as file:
        file.write(f"{event} {os.getpid()} {time.monotonic()}\\n")


@contextmanager
def lease(device):
    with take(device) as held:
        note("taken")
        try:
            yield held
        finally:
            note("given-back")


for module in [m for m in sys.modules.values() if getattr(m, "lease", None) is take]:
    module.lease = lease
import paretune.runners.measure.evaluator, paretune.runners.measure.campaign
for module in [m for m in sys.modules.values() if getattr(m, "lease", None) is take]:
    module.lease = lease
from paretune.search.cli.main import main
sys.argv = ["paretune", *sys.argv[3:]]
main()
"""
"""A host whose clock is off, and that writes down when it has the lease of its device."""

FORWARDER = """
import asyncio, sys
port, to = map(int, sys.argv[1:])


async def copy(source, sink):
    try:
        while data := await source.read(65536):
            sink.write(data)
            await sink.drain()
    except OSError:
        pass
    finally:
        sink.close()


async def forward(reader, writer):
    try:
        there = await asyncio.open_connection("127.0.0.1", to)
    except OSError:
        writer.close()
        return
    await asyncio.gather(copy(reader, there[1]), copy(there[0], writer))


async def main():
    server = await asyncio.start_server(forward, "127.0.0.1", port)
    await server.serve_forever()


asyncio.run(main())
"""


class Rig:
    """A scheduler, a forwarder, three hosts and a search; each is started again when it has ended.

    Args:
        folder: Where their logs lie.
        study: The study file.
    """

    def __init__(self, folder: Path, study: Path) -> None:
        self.folder, self.study = folder, study
        self.killed: set[int] = set()
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        real, seen = free_port(), free_port()
        address = f"tcp://127.0.0.1:{seen}"
        here = [sys.executable, "-m", "paretune"]
        work = ["worker", "--scheduler", address]
        self.commands: dict[str, list[str]] = {
            "forwarder": [sys.executable, "-c", FORWARDER, str(seen), str(real)],
            "scheduler": [*here, "fleet", "start", "--port", str(real)],
            "left": [*self._host(0, "left"), *work, "--name", "left", "--builds", "1"],
            "right": [*self._host(AN_HOUR, "right"), *work, "--name", "right", "--builds", "1"],
            "board": [*self._host(0, "board"), *work, "--name", "board", "--device", "board"],
            "search": [*here, "search", str(study), "--scheduler", address],
        }

    def _host(self, hour: int, name: str) -> list[str]:
        return [sys.executable, "-c", HOST, str(hour), str(self.folder / f"{name}.leases")]

    def keep_running(self) -> int | None:
        """Start what has ended; return the search's exit code if it has ended well."""
        for name, command in self.commands.items():
            process = self.running.get(name)
            if process is not None and process.poll() is None:
                continue
            if name == "search" and process is not None:
                said = (self.folder / "search.log").read_text("utf-8")
                assert "Traceback" not in said, said
                if process.returncode == 0:
                    return 0
                assert process.returncode in (-signal.SIGKILL, 1), said
            leases = os.environ | {"PARETUNE_LEASES": str(self.folder / f"leases of {name}")}
            with (self.folder / f"{name}.log").open("wb" if name == "search" else "ab") as log:
                self.running[name] = subprocess.Popen(command, stdout=log, stderr=log, env=leases)
        return None

    def kill(self, name: str) -> None:
        """Kill one of them at once; what it started goes on until it notices."""
        self.killed.add(self.running[name].pid)
        self.running[name].kill()
        self.running[name].wait()

    def family(self, name: str) -> list[psutil.Process]:
        """Return a process of the rig and all below it."""
        with suppress(psutil.NoSuchProcess):
            own = psutil.Process(self.running[name].pid)
            return [own, *own.children(recursive=True)]
        return []

    @contextmanager
    def stopped(self, name: str, seconds: float) -> Iterator[None]:
        """Let one of them stand still."""
        self.running[name].send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        yield
        self.running[name].send_signal(signal.SIGCONT)

    def end(self) -> None:
        """End all of them."""
        for name in self.running:
            for process in self.family(name):
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            self.running[name].wait()


Fault = Callable[[Rig, np.random.Generator], None]


def kill(name: str) -> Fault:
    return lambda rig, rng: rig.kill(name)


def stand_still(name: str, low: float, high: float) -> Fault:
    def fault(rig: Rig, rng: np.random.Generator) -> None:
        with rig.stopped(name, float(rng.uniform(low, high))):
            pass

    return fault


def full_disk(rig: Rig, rng: np.random.Generator) -> None:
    """For some seconds one host cannot write more than a page into any file."""
    family = rig.family(str(rng.choice(["left", "right"])))
    for process in family:
        with suppress(psutil.NoSuchProcess, ProcessLookupError):
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
    time.sleep(float(rng.uniform(2, 6)))
    for process in family:
        with suppress(psutil.NoSuchProcess, ProcessLookupError):
            unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, unlimited)


def store_away(rig: Rig, rng: np.random.Generator) -> None:
    """For some seconds the store cannot be reached: a file has its name."""
    store = rig.study.parent / "results" / "store"
    if not store.is_dir():
        return
    aside = store.with_name("aside")
    store.rename(aside)
    store.touch()
    time.sleep(float(rng.uniform(1, 4)))
    store.unlink()
    aside.rename(store)


FAULT_KINDS: dict[str, Fault] = {
    "a build host is killed": kill("left"),
    "the host whose clock is wrong is killed": kill("right"),
    "the device's host is killed": kill("board"),
    "the scheduler is killed": kill("scheduler"),
    "the search is killed": kill("search"),
    "the network is cut": stand_still("forwarder", 1, 31),
    "the device's host hangs": stand_still("board", 1, 15),
    "a build host hangs": stand_still("left", 1, 15),
    "a disk is full": full_disk,
    "the store is away": store_away,
}


@pytest.mark.slow
def test_hundreds_of_faults_lose_nothing(tmp_path: Path) -> None:
    seed = int(os.environ.get("PARETUNE_SEED", time.time_ns() % 10**6))
    print(f"PARETUNE_SEED={seed}")
    rng, done, studies = np.random.default_rng(seed), Counter[str](), 0
    while done.total() < FAULTS:
        folder = tmp_path / f"study {studies}"
        folder.mkdir()
        done += break_until_done(folder, rng, FAULTS - done.total())
        studies += 1
        print(f"{done.total()} faults, {studies} studies: nothing lost so far", flush=True)
        shutil.rmtree(folder)
    for kind, count in done.most_common():
        print(f"{count:>4} × {kind}")


def break_until_done(folder: Path, rng: np.random.Generator, most: int) -> Counter[str]:
    """Search and break things until a search has ended well; return what was broken."""
    study = write_study(folder, budget={"trials": TRIALS}, confirmation=QUICK_CONFIRMATION)
    rig, done, kept = Rig(folder, study), Counter[str](), dict[int, dict[str, Any]]()
    ends_by = time.monotonic() + 1200
    try:
        while rig.keep_running() is None:
            assert time.monotonic() < ends_by, f"the study never ended: {done}"
            # The first seconds are imports; let it do some work in most rounds.
            time.sleep(float(rng.uniform(1, 12)))
            if done.total() >= most or rig.running["search"].poll() is not None:
                continue
            kind = str(rng.choice(list(FAULT_KINDS)))
            print(f"{time.strftime('%X')} {kind}", flush=True)
            FAULT_KINDS[kind](rig, rng)
            done[kind] += 1
            if (folder / "results" / "optuna.db").exists():
                kept = look(study, kept)
    finally:
        rig.end()
    assert problems(study) == {}
    check_consistency(study, TRIALS)
    check_nothing_ran_twice(study)
    failed = [each for each in load_history(study).records if each.failure]
    assert not failed, [str(each.failure) for each in failed]
    check_leases(rig)
    return done


def check_leases(rig: Rig) -> None:
    """Check that no host had its device's lease while another process of that host had it."""
    for path in rig.folder.glob("*.leases"):
        holder = None
        for line in path.read_text("utf-8").splitlines():
            event, pid = line.split()[:2]
            if event == "taken":
                assert holder in (None, pid) or int(str(holder)) in rig.killed, path.read_text()
            holder = pid if event == "taken" else None


def free_port() -> int:
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
