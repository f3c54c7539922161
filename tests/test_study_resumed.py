"""A study that was interrupted, changed or started twice: what is kept, and what goes on."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import (
    BUILT_SPACE,
    IRIS,
    SMALL_SPACE,
    place_mlflow,
    run_paretune,
    start_paretune,
    wait_until,
    write_study,
)
from study_checks import check_consistency, check_nothing_ran_twice, mlflow_runs, view

from paretune.search.record.under_way import UnderWay
from paretune.search.study.open_study import load_history


def test_running_again_does_nothing_more(iris_copy: Path) -> None:
    before = view(iris_copy)
    done = run_paretune("search", iris_copy)
    assert done.returncode == 0 and "10 of 10 trials are done" in done.stdout
    assert view(iris_copy) == before


@pytest.mark.slow
def test_mlflow_is_a_view_that_can_be_rebuilt(iris_copy: Path) -> None:
    before = view(iris_copy)
    (iris_copy.parent / "results" / "mlflow.db").unlink()
    assert start_paretune("search", iris_copy).returncode == 0
    assert view(iris_copy) == before


def test_a_changed_study_needs_a_new_name(iris_copy: Path, tmp_path: Path) -> None:
    smaller = {**SMALL_SPACE, "batch_size": [1]}
    results = iris_copy.parent / "results"
    done = run_paretune("search", write_study(tmp_path, space=smaller, output_dir=str(results)))
    assert done.returncode == 1
    assert "was started with another space" in done.stderr


@pytest.mark.slow
def test_one_cause_for_every_failure_stops_early_and_continues_once_fixed(tmp_path: Path) -> None:
    workload = tmp_path / "workload.py"
    source = IRIS.read_text("utf-8")
    gate = 'if not Path(__file__).with_name("checkpoint.pt").exists():\n            raise'
    source = source.replace("        raise", f"        {gate}", 1)
    source = source.replace("import numpy", "from pathlib import Path\n\nimport numpy", 1)
    workload.write_text(source, "utf-8")
    study = write_study(
        tmp_path,
        workload="workload.py:Broken",
        space=BUILT_SPACE,
        budget={"trials": 4, "identical_failures": 3},
    )
    place_mlflow(tmp_path / "results" / "mlflow.db")

    stopped = run_paretune("search", study)
    assert stopped.returncode == 1
    assert "each of the first 3 candidates failed for the same reason" in stopped.stderr
    assert "checkpoint.pt is not there" in stopped.stderr
    assert "Traceback" not in stopped.stderr
    assert [run.info.status for run in mlflow_runs(study)] == ["FAILED"] * 3

    (tmp_path / "checkpoint.pt").write_text("here")
    fixed = run_paretune("search", study)
    assert fixed.returncode == 0, fixed.stderr
    check_consistency(study, 4)
    assert all(record.measurement for record in load_history(study).records)


@pytest.mark.slow
@pytest.mark.parametrize("after_trials", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_a_killed_study_continues_where_it_was(tmp_path: Path, after_trials: int) -> None:
    study = write_study(tmp_path, budget={"trials": 6})
    command = [sys.executable, "-m", "paretune", "search", str(study)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    seen = 0
    while seen < after_trials:
        seen += "→" in process.stdout.readline()
    note = UnderWay(tmp_path / "results" / "iris.running")
    wait_until(
        lambda: (death := note.death()) and max(death.numbers, default=-1) >= seen
    )  # the next trial
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    before = {r.number: r.as_dict() for r in load_history(study).records}
    assert len(before) >= after_trials

    done = run_paretune("search", study)
    assert done.returncode == 0, done.stderr
    check_consistency(study, 6)
    after = {r.number: r.as_dict() for r in load_history(study).records}
    assert {number: after[number] for number in before} == before
    check_nothing_ran_twice(study)


@pytest.mark.slow
def test_mlflow_failing_in_the_middle_does_not_end_the_study(tmp_path: Path) -> None:
    study = write_study(tmp_path, budget={"trials": 5})
    command = [sys.executable, "-m", "paretune", "search", str(study)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    while "→" not in process.stdout.readline():
        pass
    database = tmp_path / "results" / "mlflow.db"
    database.write_bytes(b"no longer a database" * 1000)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0
    assert "the study continues without it" in errors
    assert len(load_history(study).measured) == 5
    database.unlink()
    assert run_paretune("search", study).returncode == 0
    check_consistency(study, 5)


@pytest.mark.slow
def test_two_searches_of_one_study_are_refused(tmp_path: Path) -> None:
    study = write_study(tmp_path)
    command = [sys.executable, "-m", "paretune", "search", str(study)]
    first = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert first.stdout is not None
    first.stdout.readline()
    second = run_paretune("search", study)
    first.kill()
    first.wait()
    assert second.returncode == 1
    assert f"is being searched by process {first.pid}" in second.stderr


@pytest.mark.slow
def test_a_study_killed_at_random_again_and_again_loses_nothing(tmp_path: Path) -> None:
    seed = int(os.environ.get("PARETUNE_SEED", time.time_ns() % 10**6))
    print(f"PARETUNE_SEED={seed}")
    delays, trials = np.random.default_rng(seed), 12
    study = write_study(tmp_path, budget={"trials": trials})
    command = [sys.executable, "-m", "paretune", "search", str(study)]
    kept: dict[int, dict[str, Any]] = {}
    for _ in range(60):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            # The first seconds are imports; let it do some work in most rounds.
            process.wait(float(delays.uniform(3, 14)))
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
        _, errors = process.communicate()
        assert b"Traceback" not in errors, errors.decode()
        if not (tmp_path / "results" / "optuna.db").exists():
            continue
        after = {r.number: r.as_dict() for r in load_history(study).records}
        assert {number: after[number] for number in kept} == kept
        kept = after
        if process.returncode == 0:
            break
    subprocess.run(command, check=True, capture_output=True)  # A slow machine may not be done.
    check_consistency(study, trials)
    check_nothing_ran_twice(study)
