"""MLflow is a view: whatever happens to it, it can be rebuilt from the storage."""

import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from conftest import QUICK_CONFIRMATION, mlflow_as_it_is, start_paretune, wait_until, write_study

from paretune.search.review.mlflow.client import mlflow_client
from paretune.search.study.open_study import load_history

# What MLflow itself makes anew with every run.
_OF_MLFLOW = {"mlflow.parentRunId", "mlflow.user"}


def contents(uri: str) -> dict[str, Any]:
    """Return the content of a study's runs, by trial, without ids and times of logging."""
    client = mlflow_client(uri)
    experiment = client.get_experiment_by_name("iris")
    found = {}
    for run in client.search_runs([experiment.experiment_id], max_results=1000):
        key = run.data.tags.get("paretune.trial", "study")
        assert key not in found
        metrics = {
            name: [(m.step, m.value) for m in client.get_metric_history(run.info.run_id, name)]
            for name in run.data.metrics
        }
        found[key] = {
            "status": run.info.status,
            "params": run.data.params,
            "metrics": {name: sorted(set(steps)) for name, steps in metrics.items()},
            "tags": {k: v for k, v in run.data.tags.items() if k not in _OF_MLFLOW},
            "files": sorted(file.path for file in client.list_artifacts(run.info.run_id)),
            "models": len(run.outputs.model_outputs) if run.outputs else 0,
        }
    return found


@pytest.mark.slow
def test_what_was_logged_trial_by_trial_is_what_sync_makes_of_the_storage(
    iris_copy: Path,
) -> None:
    live = contents(mlflow_as_it_is(iris_copy))
    (iris_copy.parent / "results" / "mlflow.db").unlink()
    for _ in range(2):
        done = start_paretune("sync", iris_copy)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "all 10 trials" in done.stdout
        assert contents(mlflow_as_it_is(iris_copy)) == live


@contextmanager
def server(folder: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """An MLflow tracking server on loopback."""
    command = ["mlflow", "server", "--backend-store-uri", f"sqlite:///{folder}/server.db"]
    command += ["--artifacts-destination", str(folder / "server artifacts"), "--workers", "1"]
    process = subprocess.Popen(
        [sys.executable, "-m", *command, "--host", "127.0.0.1", "--port", str(port)],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait_until(lambda: answers(f"http://127.0.0.1:{port}/health"), 120)
        yield process
    finally:
        kill(process)


def answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5):
            return True
    except OSError:
        return False


def kill(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def wait_for(study: Path, trials: int, search: subprocess.Popen[str]) -> None:
    def has_come() -> bool:
        assert search.poll() is None, f"ended before it came to {trials} trials"
        try:
            return len(load_history(study).records) >= trials
        except Exception:
            return False  # it has not begun

    wait_until(has_come, 240)


@pytest.mark.slow
def test_a_server_killed_for_the_middle_third_costs_nothing(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    uri = f"http://127.0.0.1:{port}"
    study = write_study(
        tmp_path,
        tracking_uri=uri,
        confirmation=QUICK_CONFIRMATION,
        budget={"trials": 18},
    )
    with server(tmp_path, port) as first:
        search = subprocess.Popen(
            [sys.executable, "-m", "paretune", "search", str(study)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        wait_for(study, 6, search)
        kill(first)
        wait_for(study, 12, search)
    with server(tmp_path, port):
        printed, _ = search.communicate(timeout=600)
        assert search.returncode == 0, printed
        assert "MLflow failed" in printed
        history = load_history(study)
        assert len(history.records) == 18 and history.published
        for _ in range(2):
            done = start_paretune("sync", study)
            assert done.returncode == 0, done.stdout + done.stderr
        synced = contents(uri)
        # A view of the same storage by a server that nothing ever happened to.
        undisturbed = f"sqlite:///{tmp_path}/undisturbed.db"
        text = study.read_text("utf-8").replace(uri, undisturbed)
        study.write_text(text, "utf-8")
        done = start_paretune("sync", study)
        assert done.returncode == 0, done.stdout + done.stderr
        assert synced == contents(undisturbed)
