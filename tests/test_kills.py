"""Kills: whatever process is killed, whenever, nothing that was finished is lost or done twice."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from conftest import QUICK_CONFIRMATION, write_study
from test_study import check_consistency, check_nothing_ran_twice

import search
from search.study import load_history
from spaces import StudyError

TRIALS = 12
KILLS = int(os.environ.get("PARETUNE_KILLS", "200"))
# While a trial is in flight there may be folders of it, and MLflow is behind by what was in flight.
LASTING = {"trials", "duplicates", "frontier", "files", "store"}


def victims(process: subprocess.Popen[bytes], rng: np.random.Generator) -> list[psutil.Process]:
    """Return what to kill: mostly the study's process, else a process below it."""
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
    return {check.name: list(check.problems) for check in search.doctor(study) if check.problems}


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
    """Search, killing at random, until a search ends by itself; return the number of kills."""
    study = write_study(
        folder,
        budget={"trials": TRIALS, "build_workers": int(rng.integers(1, 3))},
        confirmation=QUICK_CONFIRMATION,
    )
    command = [sys.executable, "-m", "search.cli", "search", str(study)]
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
    """Check that what was finished before a kill still is, unchanged; return what is now."""
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
