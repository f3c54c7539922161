"""``paretune doctor`` finds every kind of problem of a study."""

import json
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import run_paretune

import paretune
from paretune.runners.measure.statistic import Statistic
from paretune.runners.store.artifact_store import ArtifactStore
from paretune.search.record.history import History
from paretune.search.review.mlflow.client import mlflow_client
from paretune.search.review.mlflow.desired_runs import TRIAL_TAG
from paretune.search.study.doctor import _published
from paretune.search.study.open_study import load_history


@pytest.fixture
def study(iris_copy: Path) -> Path:
    """A finished study, to damage."""
    return iris_copy


def problems(study: Path) -> dict[str, list[str]]:
    return {check.name: list(check.problems) for check in paretune.doctor(study) if check.problems}


def results(study: Path) -> Path:
    return study.parent / "results"


def test_a_finished_study_is_well(study: Path) -> None:
    done = run_paretune("doctor", study)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("ok ") == 8 and "PROBLEM" not in done.stdout


def execute(database: Path, statement: str, *values: str | int) -> None:
    with sqlite3.connect(database) as connection:
        connection.execute(statement, values)


def lose_a_record(study: Path) -> None:
    execute(
        results(study) / "optuna.db",
        "delete from trial_user_attributes where key = 'paretune_record' and trial_id = 4",
    )


def try_a_candidate_twice(study: Path) -> None:
    database = results(study) / "optuna.db"
    with sqlite3.connect(database) as connection:
        rows = dict(
            connection.execute(
                "select trial_id, value_json from trial_user_attributes where key = ?",
                ["paretune_record"],
            )
        )
        record = json.loads(rows[3]) | {"number": 3}
        candidate = json.dumps(record["candidate"])
        update = "update trial_user_attributes set value_json = ? where trial_id = 4 and key = ?"
        connection.execute(update, [json.dumps(record), "paretune_record"])
        connection.execute(update, [candidate, "paretune_candidate"])


def damage_a_model(study: Path) -> None:
    record = paretune.status(study).frontier[0]
    assert record.measurement is not None
    path = ArtifactStore(results(study) / "store").get(record.measurement.artifact)
    assert path is not None
    path.write_bytes(path.read_bytes()[:-1])


def lose_timed_calls(study: Path) -> None:
    record = paretune.status(study).measured[-1]
    assert record.measurement is not None
    path = ArtifactStore(results(study) / "store").get(record.measurement.samples)
    assert path is not None
    path.unlink()


def leave_a_folder(study: Path) -> None:
    (results(study) / "store" / "scratch" / "left").mkdir()


def delete_a_run(study: Path) -> None:
    client = mlflow_client(f"sqlite:///{results(study)}/mlflow.db")
    experiment = client.get_experiment_by_name("iris")
    [run] = client.search_runs([experiment.experiment_id], f"tags.`{TRIAL_TAG}` = '5'")
    client.delete_run(run.info.run_id)


def change_a_tag(study: Path) -> None:
    client = mlflow_client(f"sqlite:///{results(study)}/mlflow.db")
    experiment = client.get_experiment_by_name("iris")
    [run] = client.search_runs([experiment.experiment_id], f"tags.`{TRIAL_TAG}` = '0'")
    value = "false" if run.data.tags["frontier"] == "true" else "true"
    client.set_tag(run.info.run_id, "frontier", value)


@pytest.mark.parametrize(
    ("damage", "found", "told"),
    [
        (lose_a_record, {"trials", "mlflow"}, "no readable record"),
        (try_a_candidate_twice, {"duplicates"}, "2 trials"),
        (damage_a_model, {"files", "store"}, "is damaged"),
        (lose_timed_calls, {"files"}, "the timed calls of trial"),
        (leave_a_folder, {"processes"}, "left by a killed process"),
        (delete_a_run, {"mlflow"}, "trial 5 has no run"),
        (change_a_tag, {"mlflow"}, "tag frontier"),
    ],
)
def test_damage_is_found(
    study: Path, damage: Callable[[Path], None], found: set[str], told: str
) -> None:
    assert problems(study) == {}
    damage(study)
    seen = problems(study)
    assert found <= set(seen)
    assert any(told in problem for name in seen for problem in seen[name])
    assert problems(study) == seen, "looking changed something"


def test_a_wrong_frontier_is_found(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(History, "_rank", lambda self, record: None)
    assert "frontier" in problems(study)


@pytest.mark.slow
def test_sync_restores_what_mlflow_lost(study: Path) -> None:
    delete_a_run(study)
    assert run_paretune("doctor", study).returncode == 1
    assert run_paretune("sync", study).returncode == 0
    assert problems(study) == {}


def test_doctor_holds_the_published_against_all_that_was_confirmed(iris_study: Path) -> None:
    history = load_history(iris_study)
    assert not _published(history).problems
    point = history.published[0]
    better = {
        "accuracy": 2.0,
        "latency_p95_ms": point.metrics["latency_p95_ms"] / 2,
        "throughput_samples_per_s": point.metrics["throughput_samples_per_s"] * 2,
    }
    statistics = {**point.measurement.statistics, **{k: Statistic(v) for k, v in better.items()}}
    measurement = replace(point.measurement, statistics=statistics)
    hidden = replace(point, number=99, measurement=measurement, is_published=False, same_as=None)
    history.confirmed.append(replace(hidden, why_not="somebody said so"))
    [problem] = [p for p in _published(history).problems if f"trial {point.number} is" in p]
    assert "trial 99 dominates it" in problem
    history.confirmed[-1] = replace(hidden, same_as=point.number)
    assert not any(f"trial {point.number} is" in p for p in _published(history).problems)
    history.confirmed[-1] = replace(hidden, why_not="")
    assert any("nothing dominates trial 99" in p for p in _published(history).problems)
