"""Checks of a finished study: its storage, its MLflow and its store agree."""

from pathlib import Path
from typing import Any

import pytest
from conftest import (
    mlflow_as_it_is,
)
from mlflow.entities import Run
from mlflow.tracking import MlflowClient

from paretune.runners.store.artifact_store import ArtifactStore
from paretune.search.review.mlflow.metric_names import plain_name
from paretune.search.study.open_study import load_history


def mlflow_runs(study: Path, role: str = "trial") -> list[Run]:
    client = MlflowClient(tracking_uri=mlflow_as_it_is(study))
    experiment = client.get_experiment_by_name("iris")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], f"tags.`paretune.role` = '{role}'")
    return sorted(runs, key=lambda run: int(run.data.tags.get("paretune.trial", -1)))


def numbers(run: Run) -> dict[str, float]:
    """Return the metrics of a run in MLflow by Paretune's own names: without their groups."""
    found = {plain_name(name): value for name, value in run.data.metrics.items()}
    assert len(found) == len(run.data.metrics)
    return found


def view(study: Path) -> list[dict[str, Any]]:
    """Return MLflow's view of each trial, without values that differ between runs."""
    return [
        {
            "trial": int(run.data.tags["paretune.trial"]),
            "status": run.info.status,
            "frontier": run.data.tags["frontier"],
            "published": run.data.tags.get("published"),
            "params": run.data.params,
            "metrics": numbers(run),
        }
        for run in mlflow_runs(study)
    ]


def check_consistency(study: Path, trials: int) -> None:
    """Check that storage, history and MLflow agree, and that nothing was done twice."""
    records = load_history(study).records
    assert [record.number for record in records] == list(range(trials))
    assert len({record.candidate for record in records}) == trials
    runs = mlflow_runs(study)
    assert [int(run.data.tags["paretune.trial"]) for run in runs] == list(range(trials))
    history = load_history(study)
    searched = {record.number for record in history.frontier}
    frontier = {each.number for each in history.published} if history.confirmed else searched
    for record, run in zip(records, runs, strict=True):
        assert run.info.status == ("FAILED" if record.failure else "FINISHED")
        assert run.data.tags["candidate"] == record.candidate.digest
        assert run.data.tags["frontier"] == str(record.number in frontier).lower()
        assert run.data.tags["search_frontier"] == str(record.number in searched).lower()
        for name, value in record.metrics.items():
            assert numbers(run)[name] == pytest.approx(value, rel=1e-12)


def check_nothing_ran_twice(study: Path) -> None:
    """Check in the store's log that no stage with a kept output ran again."""
    finished: set[str] = set()
    log = ArtifactStore(study.parent / "results" / "store").executions()
    assert log
    for entry in log:
        assert entry["key"] not in finished, entry
        if entry["event"] == "finished":
            finished.add(entry["key"])
