"""A study starts without MLflow at no cost, and MLflow catches up later."""

import logging
import math
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from conftest import QUICK_CONFIRMATION, start_paretune, write_study
from test_sync import contents, server
from test_tracking import FAILED, GOALS, opened_at, runs, tagged

from paretune.search.record.history import History
from paretune.search.record.trial import TrialRecord
from paretune.search.review import guarded_tracking
from paretune.search.review.guarded_tracking import GuardedTracking
from paretune.search.review.mlflow.run_tracking import MlflowTracking

Make = Callable[..., TrialRecord]


class Views:
    """The real views that were opened, and the number of attempts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tries = 0
        self.opened: list[MlflowTracking] = []

    def __call__(self) -> MlflowTracking:
        self.tries += 1
        self.opened.append(opened_at(self.folder, self.folder / "server" / "mlflow.db"))
        return self.opened[-1]


@pytest.fixture
def records(make_record: Make) -> list[TrialRecord]:
    return [
        make_record(
            n, None if n == FAILED else {"latency_p95_ms": 9.0 - n, "accuracy": 0.5 + n / 9}
        )
        for n in range(8)
    ]


def log(guarded: GuardedTracking, history: History, records: list[TrialRecord]) -> None:
    for record in records:
        history.add(record)
        guarded.log_trial(record, history)


def test_what_is_away_at_the_start_is_opened_while_trials_come(
    tmp_path: Path,
    records: list[TrialRecord],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Whatever a try takes, the next trial tries again.
    monkeypatch.setattr(guarded_tracking, "_MOST_TIME", math.inf)
    views, history = Views(tmp_path), History(GOALS)
    (tmp_path / "server").write_text("a file where a folder has to be")
    guarded = GuardedTracking(views, retry_s=0.0)
    guarded.bring_up_to_date(history)
    guarded.start("searching", history)
    log(guarded, history, records[:3])
    assert views.tries > 1 and not views.opened
    assert "MLflow failed" in caplog.text and "paretune sync" in caplog.text
    (tmp_path / "server").unlink()
    log(guarded, history, records[3:])
    [view] = views.opened
    assert sorted(runs(view)) == list(range(8))
    assert tagged(view) == sorted(record.number for record in history.frontier)
    parent = view.client.get_run(view.parent_id)
    assert parent.info.status == "RUNNING" and parent.data.tags["paretune.status"] == "searching"
    assert "answers again" in caplog.text
    assert len([r for r in caplog.records if r.levelno == logging.WARNING]) == 2


def test_between_tries_trials_are_not_held_up_and_the_end_tries_again(
    tmp_path: Path, records: list[TrialRecord]
) -> None:
    views, history = Views(tmp_path), History(GOALS)
    (tmp_path / "server").write_text("a file where a folder has to be")
    guarded = GuardedTracking(views, retry_s=3600.0)
    guarded.bring_up_to_date(history)
    guarded.start("searching", history)
    log(guarded, history, records)
    assert views.tries == 1
    (tmp_path / "server").unlink()
    guarded.finish(history, "8 of 8 trials are done", "FINISHED")
    [view] = views.opened
    assert sorted(runs(view)) == list(range(8))
    parent = view.client.get_run(view.parent_id)
    assert parent.info.status == "FINISHED" and parent.data.tags["paretune.status"] == "done"


@pytest.mark.slow
def test_a_server_that_starts_after_the_search_is_caught_up(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    uri = f"http://127.0.0.1:{port}"
    study = write_study(
        tmp_path, tracking_uri=uri, confirmation=QUICK_CONFIRMATION, budget={"trials": 4}
    )
    # Nothing listens: the whole search goes on without.
    done = start_paretune("search", study)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "MLflow failed" in done.stderr and "MLflow is not up to date" in done.stderr
    refused = start_paretune("sync", study)
    assert refused.returncode == 1 and "start the server" in refused.stderr
    with server(tmp_path, port):
        synced = start_paretune("sync", study)
        assert synced.returncode == 0, synced.stdout + synced.stderr
        late = contents(uri)
        assert set(late) == {"study", *map(str, range(4))}
        assert late["study"]["status"] == "FINISHED"
        # A study that starts without the server, and finds it in the end.
        more = study.read_text("utf-8").replace("trials: 4", "trials: 10")
        study.write_text(more, "utf-8")
    search = subprocess.Popen(
        [sys.executable, "-m", "paretune", "search", str(study)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert search.stdout is not None
    printed = ""
    for line in iter(partial(search.stdout.readline), ""):
        printed += line
        if "MLflow failed" in line:
            break
    search.send_signal(signal.SIGSTOP)  # so that the server is there before the search ends
    with server(tmp_path, port):
        search.send_signal(signal.SIGCONT)
        rest, _ = search.communicate(timeout=600)
        assert search.returncode == 0, printed + rest
        assert "MLflow failed" in printed and "MLflow answers again" in rest
        assert set(contents(uri)) == {"study", *map(str, range(10))}
        assert start_paretune("doctor", study).returncode == 0
