"""MLflow as a view of a history: it stays cheap per trial, and true."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from conftest import SMALL_SPACE, place_mlflow
from mlflow.entities import Run
from study_checks import numbers

from paretune.runners.execute.ongoing_stage import OngoingTraining
from paretune.runners.measure.statistic import Statistic
from paretune.runners.store.artifact_store import ArtifactStore
from paretune.runners.workload.learning.progress import Epoch
from paretune.search.record.history import History
from paretune.search.record.objective import Constraint, default_objectives
from paretune.search.record.trial import Skip, TrialRecord
from paretune.search.record.words import trial_markdown
from paretune.search.review.mlflow.audit import disagreements
from paretune.search.review.mlflow.client import mlflow_client
from paretune.search.review.mlflow.desired_runs import trial_numbers
from paretune.search.review.mlflow.pictures import MlflowReview
from paretune.search.review.mlflow.run_tracking import MlflowTracking

Make = Callable[..., TrialRecord]
GOALS = default_objectives("accuracy")
SKIPPED, FAILED = 3, 5


def opened_at(folder: Path, database: Path | None = None) -> MlflowTracking:
    """Return an empty view."""
    folder.mkdir(exist_ok=True)
    (folder / "study.yaml").write_text("name: study\n", "utf-8")
    return MlflowTracking(
        f"sqlite:///{database or folder / 'mlflow.db'}",
        name="study",
        definition={
            "uid": "one",
            "space": SMALL_SPACE,
            "objectives": [asdict(goal) for goal in GOALS],
        },
        artifacts=folder / "mlartifacts",
        study_file=folder / "study.yaml",
        review=MlflowReview(ArtifactStore(folder / "store"), lambda *points: {}),
    )


def opened(folder: Path, history: History) -> MlflowTracking:
    place_mlflow(folder / "mlflow.db")
    tracking = opened_at(folder)
    tracking.bring_up_to_date(history)
    return tracking


def runs(tracking: MlflowTracking) -> dict[int, Run]:
    parent = f"tags.`mlflow.parentRunId` = '{tracking.parent_id}' and tags.outcome != ''"
    found = tracking.client.search_runs([tracking.experiment_id], parent)
    by_trial = {int(run.data.tags["paretune.trial"]): run for run in found}
    assert len(by_trial) == len(found)
    return by_trial


def tagged(tracking: MlflowTracking, tag: str = "frontier") -> list[int]:
    return sorted(n for n, run in runs(tracking).items() if run.data.tags.get(tag) == "true")


def frontier(history: History) -> list[int]:
    return sorted(record.number for record in history.frontier)


@pytest.fixture
def records(make_record: Make, rng: np.random.Generator) -> list[TrialRecord]:
    """Twelve trials: one skipped, one failed."""
    names = ("accuracy", "latency_p95_ms", "throughput_samples_per_s")
    made = [make_record(n, dict(zip(names, rng.random(3), strict=True))) for n in range(12)]
    made[FAILED] = make_record(FAILED, None)
    full = made[SKIPPED].measurement
    assert full is not None
    statistics = {k: v for k, v in full.statistics.items() if k != "accuracy"}
    skeleton = replace(full, statistics=statistics)
    made[SKIPPED] = replace(made[SKIPPED], outcome=Skip("distill", "too slow", 0.5, skeleton))
    return made


def test_frontier_tags_are_true_after_every_trial(
    tmp_path: Path, records: list[TrialRecord]
) -> None:
    history = History(GOALS)
    tracking = opened(tmp_path, history)
    sizes = set()
    for record in records:
        history.add(record)
        tracking.log_trial(record, history)
        assert tagged(tracking) == frontier(history)
        sizes.add(len(history.frontier))
    assert len(sizes) > 2
    tracking.finish(history, "done", "FINISHED")
    steps = [
        m.step for m in tracking.client.get_metric_history(tracking.parent_id, "search/trials")
    ]
    assert sorted(steps) == list(range(12))
    parent = numbers(tracking.client.get_run(tracking.parent_id))
    assert (parent["trials"], parent["failed_trials"], parent["skipped_trials"]) == (12, 1, 1)
    assert parent["hypervolume"] == pytest.approx(history.hypervolume)


def test_each_outcome_is_reported(tmp_path: Path, records: list[TrialRecord]) -> None:
    history = History(GOALS, [Constraint("accuracy", minimum=0.0)], records=records)
    by_trial = runs(opened(tmp_path, history))
    for number, run in by_trial.items():
        tags, metrics = run.data.tags, numbers(run)
        outcome = {SKIPPED: "skipped", FAILED: "failed"}.get(number, "measured")
        assert tags["outcome"] == outcome
        assert run.info.status == ("FAILED" if outcome == "failed" else "FINISHED")
        assert ("accuracy" in metrics) == (outcome == "measured")
        assert ("latency_p95_ms" in metrics) == (outcome != "failed")
        assert metrics["batch_size"] == 1 and run.data.params["student"] == "reference"
    assert "too slow" in by_trial[SKIPPED].data.tags["mlflow.note.content"]
    assert "no channel left" in by_trial[FAILED].data.tags["failure.reason"]


def test_a_shortfall_is_tagged_though_the_parent_was_measured_later(
    tmp_path: Path, make_record: Make
) -> None:
    parent = make_record(1, {})
    build = replace(parent.candidate.build, pruning_ratio=0.5)
    child = replace(make_record(0, {}), candidate=replace(parent.candidate, build=build))
    history = History(GOALS)
    tracking = opened(tmp_path, history)
    for record in (child, parent):
        history.add(record)
        tracking.log_trial(record, history)
    tracking.finish(history, "done", "FINISHED")
    tags = runs(tracking)[child.number].data.tags
    assert tags["shortfall"].startswith(
        "pruned, but no smaller and not clearly faster than trial 1"
    )
    assert "shortfall" not in runs(tracking)[parent.number].data.tags
    anew = opened(tmp_path / "anew", history)
    assert runs(anew)[child.number].data.tags["shortfall"] == tags["shortfall"]


def test_intervals_of_what_is_sought_are_numbers_and_the_others_in_the_note(
    make_record: Make,
) -> None:
    record = make_record(0, {"accuracy": 0.9})
    assert record.measurement is not None
    statistics = {name: Statistic(8.0, 7.5, 8.25) for name in record.metrics}
    record = replace(record, outcome=replace(record.measurement, statistics=statistics))
    history = History(GOALS[:1], [Constraint("latency_p50_ms", maximum=9.0)], records=[record])
    told = trial_numbers(record, history)
    intervals = {name for name in told if name.endswith(("_low", "_high"))}
    sought = ("quality/accuracy", "latency/latency_p50_ms")
    assert intervals == {f"{name}_{end}" for name in sought for end in ("low", "high")}
    ends = told["quality/accuracy_low"], told["quality/accuracy_high"]
    assert ends == (7.5, 8.25)
    assert "| latency_p99_ms | 8 | 7.5 … 8.25 |" in trial_markdown(record, history)


def test_what_differs_from_the_history_is_fixed(tmp_path: Path, records: list[TrialRecord]) -> None:
    history = History(GOALS, records=records)
    tracking = opened(tmp_path, history)
    before = runs(tracking)
    on, off = frontier(history)[0], frontier(history)[-1]
    tracking.client.delete_run(before[on].info.run_id)
    tracking.client.set_tag(before[off].info.run_id, "frontier", "false")
    tracking.client.set_tag(before[FAILED].info.run_id, "frontier", "true")
    tracking.client.update_run(before[SKIPPED].info.run_id, status="RUNNING")
    after = runs(opened(tmp_path, history))
    assert sorted(after) == list(range(12))
    assert tagged(tracking) == frontier(history)
    same = {n for n in after if after[n].info.run_id == before[n].info.run_id}
    assert same == set(range(12)) - {on, SKIPPED}
    assert after[SKIPPED].info.status == "FINISHED"


def test_whatever_the_audit_finds_is_put_right_and_notes_of_people_stay(
    tmp_path: Path, records: list[TrialRecord]
) -> None:
    history = History(GOALS, records=records)
    tracking = opened(tmp_path, history)
    client, before = tracking.client, runs(tracking)
    client.set_tag(before[0].info.run_id, "mlflow.note.content", "look at this one")
    client.set_tag(before[0].info.run_id, "mine", "yes")
    client.log_metric(before[1].info.run_id, "latency/latency_p95_ms", -1.0)
    client.set_tag(before[2].info.run_id, "artifact", "another")
    twice = dict(before[6].data.tags)
    client.create_run(tracking.experiment_id, tags=twice, start_time=0)
    changed = before[4].info.run_id
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as database, database:
        # MLflow itself changes no param.
        where = (changed, "student")
        database.execute("UPDATE params SET value = 'x' WHERE run_uuid = ? AND key = ?", where)
    uri = client.tracking_uri
    found = disagreements(uri, "study", tracking.definition, history, None)
    assert [text.split(" is ")[0] for text in found] == [
        "2 runs of trial 6",
        "trial 1: metric latency/latency_p95_ms",
        "trial 2: tag artifact",
        "trial 4: param student",
    ]
    again = opened(tmp_path, history)
    assert disagreements(uri, "study", tracking.definition, history, None) == []
    after = runs(again)
    assert {n for n in after if after[n].info.run_id != before[n].info.run_id} - {6} == {4}
    tags = after[0].data.tags
    assert (tags["mlflow.note.content"], tags["mine"]) == ("look at this one", "yes")


def test_a_long_training_is_logged_in_as_many_requests_as_mlflow_takes(
    tmp_path: Path, make_record: Make
) -> None:
    losses = [1 / epoch for epoch in range(1, 2001)]
    record = replace(make_record(0, {}), train_losses={"fine-tune": losses})
    history = History(GOALS, records=[record])
    tracking = opened(tmp_path, history)
    curve = tracking.client.get_metric_history(tracking.runs[0], "training/train_loss_fine_tune")
    assert [each.value for each in sorted(curve, key=lambda each: each.step)] == losses


def test_the_log_of_a_deleted_database_is_not_the_new_ones(tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE old (x)")
    path.unlink()
    # A killed process leaves its log.
    log = tmp_path / "mlflow.db-wal"
    log.write_bytes(b"of the old database")
    mlflow_client(f"sqlite:///{path}")
    assert not log.exists() or not log.read_bytes().startswith(b"of the old")
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_trainings_are_seen_while_they_go_on(tmp_path: Path) -> None:
    tracking = opened_at(tmp_path)
    for number, loss in ((1, 0.9), (2, 0.5)):
        epoch = Epoch(number, 30, loss, 120.0 / number, 0.8)
        tracking.log_training([OngoingTraining("distill", "half-width", epoch)])
    name = "training/distill of half-width/loss"
    history = tracking.client.get_metric_history(tracking.parent_id, name)
    assert [(each.step, each.value) for each in history] == [(1, 0.9), (2, 0.5)]
    study = tracking.client.get_run(tracking.parent_id)
    told = study.data.tags["training"]
    assert told.startswith("training half-width (distill): epoch 2/30, loss 0.5")
    assert study.data.metrics["training/distill of half-width/seconds left"] == 60.0
