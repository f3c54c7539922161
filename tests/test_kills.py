"""Kills: no matter which process is killed when, finished work is neither lost nor repeated."""

import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from conftest import QUICK_CONFIRMATION, write_study
from postgres import postgres
from study_checks import check_consistency, check_nothing_ran_twice

import paretune
from paretune.search.study.open_study import load_history
from paretune.spaces import StudyError

TRIALS = 12
KILLS = int(os.environ.get("PARETUNE_KILLS", "200"))
# While a trial is in flight there may be folders of it, and MLflow is behind by what was in flight.
LASTING = {"trials", "duplicates", "frontier", "files", "store"}
FIGHTS = 20
# Two coordinators as on two hosts, neither of which can look at the processes of the other; hearts
# beat faster than usual, so that one that stands still is taken for dead while the test goes on.
COORDINATOR = """
import socket, sys
host, study = sys.argv[1:]
socket.gethostname = lambda: host
from paretune.search.storage import ownership
ownership.BEAT_S, ownership._LOOK_S, ownership.EXPIRY_S = 0.5, 0.5, 5.0
from paretune.search.cli.main import main
sys.argv = ["paretune", "search", study]
main()
"""
# Why one may end with an error: the other has the study, or a process below it was killed.
EXPLAINED = (b"is being searched by", b"was taken over by", b"build process was killed")


def victims(process: subprocess.Popen[bytes], rng: np.random.Generator) -> list[psutil.Process]:
    """Return the processes to kill: mostly the study's process, else one below it."""
    family = [psutil.Process(process.pid)]
    # Python's own resource tracker prints a traceback when it is started anew.
    below = [p for p in family[0].children(recursive=True) if "tracker" not in _command(p)]
    if below and rng.random() < 0.25:
        return [below[int(rng.integers(len(below)))]]
    return family


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return "tracker or gone"


def problems(study: Path) -> dict[str, list[str]]:
    return {check.name: list(check.problems) for check in paretune.doctor(study) if check.problems}


@pytest.mark.slow
def test_hundreds_of_kills_lose_nothing(tmp_path: Path) -> None:
    seed = int(os.environ.get("PARETUNE_SEED", time.time_ns() % 10**6))
    print(f"PARETUNE_SEED={seed}")
    rng, kills, studies = np.random.default_rng(seed), 0, 0
    while kills < KILLS:
        folder = tmp_path / f"study {studies}"
        folder.mkdir()
        kills += kill_until_done(folder, rng)
        studies += 1
        print(f"{kills} kills, {studies} studies: nothing lost so far", flush=True)
    print(f"{kills} kills over {studies} studies of {TRIALS} trials, seed {seed}: nothing lost")


def kill_until_done(folder: Path, rng: np.random.Generator) -> int:
    """Search with random kills until a search finishes; return the number of kills."""
    study = write_study(
        folder,
        budget={"trials": TRIALS, "build_workers": int(rng.integers(1, 3))},
        confirmation=QUICK_CONFIRMATION,
    )
    command = [sys.executable, "-m", "paretune", "search", str(study)]
    kept: dict[int, dict[str, Any]] = {}
    for kills in range(100):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        if kills < 30:
            # The first seconds are imports; let it do some work in most rounds.
            time.sleep(float(rng.uniform(2, 12)))
            for each in victims(process, rng) if process.poll() is None else ():
                each.send_signal(signal.SIGKILL)
        _, errors = process.communicate(timeout=600)
        assert b"Traceback" not in errors, errors.decode()
        if (folder / "results" / "optuna.db").exists():
            kept = look(study, kept)
        if process.returncode == 0:
            assert problems(study) == {}
            check_consistency(study, TRIALS)
            check_nothing_ran_twice(study)
            return kills
        assert process.returncode in (-signal.SIGKILL, 1), errors.decode()
    raise AssertionError("the study never ended")


def look(study: Path, kept: dict[int, dict[str, Any]]) -> dict[int, dict[str, Any]]:
    """Check that trials finished before a kill are unchanged; return all finished trials."""
    try:
        history = load_history(study)
    except StudyError:  # killed before the study was there
        assert not kept
        return {}
    now = {record.number: record.as_dict() for record in history.records if record.measurement}
    assert {number: now.get(number) for number in kept} == kept
    found = problems(study)
    assert not LASTING & set(found), found
    return now


@pytest.mark.slow
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_two_coordinators_fight_for_one_storage(tmp_path: Path, database: str) -> None:
    seed = int(os.environ.get("PARETUNE_SEED", time.time_ns() % 10**6))
    print(f"PARETUNE_SEED={seed}")
    with ExitStack() as stack:
        url = f"sqlite:///{tmp_path}/optuna.db"
        if database == "postgresql":
            url = stack.enter_context(postgres())()
        studies = {host: clone(tmp_path / host, tmp_path, url) for host in ("one", "two")}
        ends = fight(studies, np.random.default_rng(seed), stack)
        print(f"{database}: {ends}, seed {seed}: nothing lost")
        study = studies["one"]
        assert problems(study) == {}
        check_consistency(study, TRIALS)
        check_nothing_ran_twice(study)


def clone(folder: Path, shared: Path, url: str) -> Path:
    """Write the study again, in another folder with the same storage, store and MLflow."""
    results = folder / "results"
    results.mkdir(parents=True)
    (shared / "one" / "results" / "store").mkdir(exist_ok=True)
    if folder.name != "one":
        (results / "store").symlink_to(shared / "one" / "results" / "store")
    return write_study(
        folder,
        storage=url,
        tracking_uri=f"sqlite:///{shared}/one/results/mlflow.db",
        budget={"trials": TRIALS, "build_workers": 2},
        confirmation=QUICK_CONFIRMATION,
    )


def fight(studies: dict[str, Path], rng: np.random.Generator, stack: ExitStack) -> dict[str, int]:
    """Search in two places at once, killing and suspending at random, until one has ended.

    Returns:
        How often a coordinator was killed, was suspended, and was refused or taken over.
    """
    running: dict[str, subprocess.Popen[bytes]] = {}
    kept: dict[int, dict[str, Any]] = {}
    ends = {"killed": 0, "suspended": 0, "refused": 0}
    for _ in range(2000):
        for host, study in studies.items():
            if host not in running:
                command = [sys.executable, "-c", COORDINATOR, host, str(study)]
                running[host] = subprocess.Popen(
                    command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
                )
                stack.callback(running[host].kill)  # if the test fails
        time.sleep(float(rng.uniform(0.5, 4)))
        process = running[str(rng.choice(list(running)))]
        if process.poll() is None and ends["killed"] + ends["suspended"] < FIGHTS:
            if rng.random() < 0.3:
                process.send_signal(signal.SIGSTOP)
                time.sleep(float(rng.uniform(1, 12)))
                process.send_signal(signal.SIGCONT)
                ends["suspended"] += 1
            elif rng.random() < 0.5:
                for each in victims(process, rng):
                    each.send_signal(signal.SIGKILL)
                ends["killed"] += 1
        kept = look(studies["one"], kept)
        for host in [host for host, process in running.items() if process.poll() is not None]:
            code = finish(running.pop(host))
            ends["refused"] += code == 1
            if code == 0:
                for other in running.values():
                    finish(other)
                look(studies["one"], kept)
                return ends
    raise AssertionError("the study never ended")


def finish(process: subprocess.Popen[bytes]) -> int:
    """Wait for a coordinator; check that it ended well, or with an explanation."""
    _, errors = process.communicate(timeout=600)
    assert b"Traceback" not in errors, errors.decode()
    assert process.returncode in (0, 1, -signal.SIGKILL), errors.decode()
    if process.returncode == 1:
        assert any(words in errors for words in EXPLAINED), errors.decode()
    return process.returncode
