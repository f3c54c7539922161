"""Faults below a study: a missing storage, a full disk, a clock that jumps."""

import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import QUICK_CONFIRMATION, start_paretune, write_study

import paretune
from paretune.search.study.open_study import load_history

TRIALS = 10
AWAY_S = 60.0  # Optuna itself waits half a minute


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A separate file system in memory, of 64 MB."""
    place = tmp_path / "small disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(place)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("this user may not mount a file system")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def begin(study: Path) -> "subprocess.Popen[str]":
    """Start a search and return when it has measured something."""
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "paretune", "search", str(study)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if "→" in line:
            return process
    raise AssertionError(process.communicate()[1])


def goes_on(study: Path) -> None:
    """Check that the same command ends the study as if nothing had happened."""
    done = start_paretune("search", study)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(load_history(study).records) == TRIALS
    assert [check.problems for check in paretune.doctor(study) if check.problems] == []


@pytest.mark.slow
def test_a_storage_that_is_gone_for_a_while_is_waited_for(tmp_path: Path) -> None:
    study = write_study(tmp_path, confirmation=QUICK_CONFIRMATION, budget={"trials": TRIALS})
    process = begin(study)
    other = sqlite3.connect(tmp_path / "results" / "optuna.db", timeout=60, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    time.sleep(AWAY_S)
    other.execute("ROLLBACK")
    other.close()
    out, errors = process.communicate(timeout=300)
    assert process.returncode == 0, out + errors
    assert "does not answer; trying again" in errors and "Traceback" not in errors
    records = load_history(study).records
    assert len(records) == len({record.candidate for record in records}) == TRIALS
    goes_on(study)


@pytest.mark.slow
def test_a_full_disk_stops_the_study_with_the_fix(small_disk: Path) -> None:
    study = write_study(small_disk, confirmation=QUICK_CONFIRMATION, budget={"trials": TRIALS})
    process = begin(study)
    ballast = small_disk / "ballast"
    with ballast.open("wb") as file:
        try:
            while True:
                file.write(bytes(2**16))
                file.flush()
        except OSError:
            pass
    out, errors = process.communicate(timeout=300)
    print(out[-500:], errors)
    assert process.returncode == 1
    assert "Traceback" not in out + errors
    assert "space" in errors or "full" in errors
    ballast.unlink()
    goes_on(study)


@pytest.mark.slow
def test_a_disk_that_turns_read_only_stops_the_study_with_the_fix(small_disk: Path) -> None:
    study = write_study(small_disk, confirmation=QUICK_CONFIRMATION, budget={"trials": TRIALS})
    finished = begin(study)
    finished.communicate(timeout=300)
    (small_disk / "results" / "optuna.db").unlink()
    shutil.rmtree(small_disk / "results" / "store")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    done = start_paretune("search", study)
    print(done.stderr)
    assert done.returncode == 1
    assert "Traceback" not in done.stdout + done.stderr
    assert "ead-only" in done.stderr or "cannot" in done.stderr
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    goes_on(study)


JUMPING = """
import itertools, time
right, turns = time.time, itertools.count()
time.time = lambda: right() + (86400, -86400, 0)[next(turns) % 3]
"""


@pytest.mark.slow
def test_a_clock_that_jumps_by_days_ends_nothing_early(tmp_path: Path) -> None:
    # Python imports sitecustomize before anything else, in every process of the study.
    (tmp_path / "sitecustomize.py").write_text(JUMPING, "utf-8")
    study = write_study(tmp_path, confirmation=QUICK_CONFIRMATION, budget={"trials": TRIALS})
    done = subprocess.run(
        [sys.executable, "-m", "paretune", "search", str(study), "--hours", "1"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    times = [record.finished_at for record in load_history(study).records]
    assert len(times) == TRIALS and max(times) - min(times) > 3600  # it did jump
    assert load_history(study).published
    goes_on(study)
