"""A study ends with its confirmation, and not earlier in MLflow."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import QUICK_CONFIRMATION, start_paretune, write_study
from mlflow.entities import Run
from test_tracking import GOALS, opened

from paretune.search.record.history import History
from paretune.search.record.trial import TrialRecord
from paretune.search.review.mlflow.client import mlflow_client
from paretune.search.run.ending import ending
from paretune.search.storage.study_storage import StudyStorage
from paretune.spaces import SearchSpace


def interrupted() -> None:
    raise KeyboardInterrupt


def failed() -> None:
    raise RuntimeError("no room")


@pytest.mark.parametrize(
    ("happens", "raised", "status", "tag", "reason"),
    [
        (lambda: None, None, "FINISHED", "done", "1 of 1 trials are done"),
        (interrupted, KeyboardInterrupt, "KILLED", "interrupted", "interrupted"),
        (failed, RuntimeError, "FAILED", "failed", "stopped: no room"),
    ],
)
def test_it_ends_with_what_happens_within(
    tmp_path: Path,
    space: SearchSpace,
    make_record: Callable[..., TrialRecord],
    happens: Callable[[], None],
    raised: type[BaseException] | None,
    status: str,
    tag: str,
    reason: str,
) -> None:
    history = History(GOALS, records=[make_record(0, {})])
    storage = StudyStorage(f"sqlite:///{tmp_path}/optuna.db", "study")
    storage.create({"workload": "w"}, GOALS, space)
    storage.end("an earlier search", "FINISHED")
    tracking = opened(tmp_path, history)

    def run() -> None:
        storage.begin()
        tracking.start("searching", history)
        with ending(storage, tracking, history, "1 of 1 trials are done"):
            tracking.start("confirming", history)
            parent = tracking.client.get_run(tracking.parent_id)
            assert parent.info.status == "RUNNING"
            assert parent.data.tags["paretune.status"] == "confirming"
            assert storage.ended is None
            happens()

    if raised is None:
        run()
    else:
        with pytest.raises(raised):
            run()
    assert storage.ended == (reason, status)
    parent = tracking.client.get_run(tracking.parent_id)
    assert parent.info.status == status
    assert parent.data.tags["paretune.status"] == tag
    assert parent.data.tags["paretune.ended"] == reason


def parent_run(study: Path) -> Run:
    client = mlflow_client(f"sqlite:///{study.parent}/results/mlflow.db")
    experiment = client.get_experiment_by_name("iris")
    [run] = client.search_runs([experiment.experiment_id], "tags.`paretune.role` = 'study'")
    return run


@pytest.mark.slow
def test_a_study_killed_while_it_confirms_has_not_ended(tmp_path: Path) -> None:
    endless = QUICK_CONFIRMATION | {"launches": 500, "max_launches": 500}
    study = write_study(tmp_path, budget={"trials": 3}, confirmation=endless)
    search = subprocess.Popen(
        [sys.executable, "-m", "paretune", "search", str(study)],
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert search.stdout is not None
    for line in search.stdout:
        if "round 1:" in line:
            break
    run = parent_run(study)
    assert (run.info.status, run.data.tags["paretune.status"]) == ("RUNNING", "confirming")
    search.send_signal(signal.SIGKILL)
    search.communicate()
    assert parent_run(study).info.status == "RUNNING"
    assert start_paretune("sync", study).returncode == 0
    run = parent_run(study)
    assert (run.info.status, run.data.tags["paretune.status"]) == ("KILLED", "interrupted")
    write_study(tmp_path, budget={"trials": 3}, confirmation=QUICK_CONFIRMATION)
    done = start_paretune("search", study)
    assert done.returncode == 0, done.stdout + done.stderr
    run = parent_run(study)
    assert (run.info.status, run.data.tags["paretune.status"]) == ("FINISHED", "done")
