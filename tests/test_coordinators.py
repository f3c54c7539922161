"""Several coordinators search one study: they share its trials, and one of them publishes."""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml
from conftest import (
    QUICK_CONFIRMATION,
    SMALL_SPACE,
    TINY_SPACE,
    run_paretune,
    wait_until,
    write_study,
)
from postgres import postgres
from s3_server import s3_server
from study_checks import check_consistency, check_nothing_ran_twice, view

import paretune
from paretune.search.run.reporter import Reporter
from paretune.search.study.open_study import OpenStudy, load_history
from paretune.spaces import SearchSpace, StudyError

TRIALS = 60
WIDE_SPACE = {**TINY_SPACE, "batch_size": [1, 2, 4, 8], "intra_op_threads": [1, 2]}
"""64 candidates with 8 builds."""
# A coordinator as on a host of its own, which cannot look at the processes of the others; hearts
# beat faster than usual, so that one that is killed is taken for dead while the test goes on.
COORDINATOR = """
import socket, sys
host, *command = sys.argv[1:]
socket.gethostname = lambda: host
from paretune.search.storage import ownership
ownership.BEAT_S, ownership.EXPIRY_S = 0.5, 5.0
from paretune.search.cli.main import main
sys.argv = ["paretune", *command]
main()
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Callable[[], str]]:
    with postgres() as made:
        yield made


def shared_study(folder: Path, host: str, url: str, **changes: Any) -> Path:
    """Write the study as it lies on one host: the folder is its own, store and MLflow are not.

    A store at a URL has a cache in that folder.
    """
    results, store = folder / host / "results", folder / "store"
    results.mkdir(parents=True)
    if "store" not in changes:
        store.mkdir(exist_ok=True)
        (results / "store").symlink_to(store)
    values = {
        "space": WIDE_SPACE,
        "storage": url,
        "tracking_uri": f"sqlite:///{folder}/one/results/mlflow.db",
        "budget": {"trials": TRIALS, "build_workers": 1},
        "confirmation": QUICK_CONFIRMATION,
    }
    return write_study(folder / host, **{**values, **changes})


def coordinator(study: Path, host: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", COORDINATOR, host, "search", "--join", str(study)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def records(study: Path) -> int:
    """Return how many trials have ended; 0 before there is a study."""
    try:
        return len(load_history(study).records)
    except StudyError:
        return 0


def published(study: Path) -> list[int]:
    return [point.number for point in load_history(study).published]


def check_finished(study: Path, folder: Path) -> None:
    """Check that the study is as if one coordinator had searched it, in every view."""
    assert [(c.name, c.problems) for c in paretune.doctor(study) if c.problems] == []
    check_consistency(study, TRIALS)
    assert all(record.measurement for record in load_history(study).records)
    check_nothing_ran_twice(study)
    assert published(study)
    # The view that two processes wrote, trial by trial, is the same as one made anew.
    values = yaml.safe_load(study.read_text("utf-8"))
    at_url = {"store": values["store"]} if "store" in values else {}
    again = shared_study(folder, "again", values["storage"], tracking_uri=None, **at_url)
    assert run_paretune("sync", again).returncode == 0
    assert view(study) == view(again)


def members(history_url: str) -> list[int]:
    """Return how many trials each process has begun, the busiest first."""
    trials = optuna.load_study(study_name="iris", storage=history_url).trials
    tokens = [trial.user_attrs["paretune_member"] for trial in trials]
    return sorted((tokens.count(token) for token in set(tokens)), reverse=True)


@pytest.fixture
def s3() -> Iterator[str]:
    with s3_server("shared") as bucket:
        yield bucket


@pytest.mark.slow
@pytest.mark.parametrize("store", ["folder", "s3"])
def test_two_coordinators_share_one_study(
    server: Callable[[], str], tmp_path: Path, store: str, request: pytest.FixtureRequest
) -> None:
    url = server()
    at_url = {"store": f"{request.getfixturevalue('s3')}/iris"} if store == "s3" else {}
    studies = {host: shared_study(tmp_path, host, url, **at_url) for host in ("one", "two")}
    running = {host: coordinator(study, host) for host, study in studies.items()}
    said = {host: process.communicate(timeout=600)[0] for host, process in running.items()}
    for host, process in running.items():
        assert process.returncode == 0, said[host]
        assert "Traceback" not in said[host], said[host]
    print(said["one"][-3000:], said["two"][-3000:], members(url))
    check_finished(studies["one"], tmp_path)
    counts = members(url)
    assert len(counts) == 2 and min(counts) > 5
    helpers = [text for text in said.values() if "which finishes it" in text]
    assert len(helpers) == 1 and "confirming" not in helpers[0]


@pytest.mark.slow
def test_a_helper_finishes_and_publishes_when_the_owner_is_killed(
    server: Callable[[], str], tmp_path: Path
) -> None:
    url = server()
    studies = {host: shared_study(tmp_path, host, url) for host in ("one", "two")}
    owner = coordinator(studies["one"], "one")
    wait_until(lambda: records(studies["one"]) > 2, 120)
    helper = coordinator(studies["two"], "two")
    # In the middle, while both have trials under way.
    wait_until(lambda: len(members(url)) == 2 and records(studies["one"]) > 20, 120)
    owner.send_signal(signal.SIGKILL)
    owner.communicate()
    said, _ = helper.communicate(timeout=600)
    assert helper.returncode == 0 and "Traceback" not in said, said
    assert f"process {owner.pid} on one, which owned the study, is gone" in said, said
    assert "confirming" in said and "which finishes it" not in said
    check_finished(studies["one"], tmp_path)


@pytest.mark.slow
def test_an_owner_tries_again_what_a_killed_helper_left(
    server: Callable[[], str], tmp_path: Path
) -> None:
    url = server()
    # In one folder on one host, where each has a lock and logs of its own.
    study = shared_study(tmp_path, "one", url)
    owner = coordinator(study, "one")
    wait_until(lambda: records(study) > 2, 120)
    helper = coordinator(study, "one")
    wait_until(lambda: len(members(url)) == 2, 120)
    assert (study.parent / "results" / "iris@2.lock").exists()
    # It is stopped first: then a trial of it is under way when it dies.
    helper.send_signal(signal.SIGSTOP)
    helper.send_signal(signal.SIGKILL)
    helper.communicate()
    said, _ = owner.communicate(timeout=600)
    assert owner.returncode == 0 and "Traceback" not in said, said
    assert f"process {helper.pid} on one is gone" in said, said
    check_finished(study, tmp_path)


@pytest.mark.slow
def test_a_helper_ends_if_the_owner_measures_with_other_versions(
    server: Callable[[], str], iris_study: Path, tmp_path: Path
) -> None:
    finished = OpenStudy(iris_study)
    history = finished.history()
    assert history.baseline is not None and history.baseline.measurement is not None
    there = {**history.baseline.measurement.environment, "onnxruntime": "1.2.3"}
    measured = replace(history.baseline.measurement, environment=there)
    record = replace(history.baseline, outcome=measured)
    study = write_study(tmp_path, storage=server(), tracking=False)
    definition = {key: value for key, value in finished.definition.items() if key != "uid"}
    storage = OpenStudy(study).storage
    storage.create(definition, history.objectives, SearchSpace.from_values(SMALL_SPACE))

    class Finishes(Reporter):
        """Finishes the owner's baseline once the helper waits for it."""

        def noted(self, text: str) -> None:
            if "first measurement" in text:
                storage.finish(record, history.objectives)

    with storage.owned():
        assert storage.start(record.candidate) == 0
        with pytest.raises(StudyError, match=r"onnxruntime 1\.2\.3 → "):
            paretune.run(study, join=True, reporter=Finishes())
        assert [each.number for each in storage.records()] == [0]


def test_sqlite_is_for_one(tmp_path: Path) -> None:
    done = run_paretune("search", "--join", write_study(tmp_path))
    assert done.returncode == 1
    assert "is in SQLite" in done.stderr and "postgresql+psycopg://" in done.stderr
    assert not (tmp_path / "results" / "optuna.db").exists()
