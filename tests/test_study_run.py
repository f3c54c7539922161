"""How a study runs: several workers, skipped and failed candidates, rules, a full store."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from conftest import (
    BUILT_SPACE,
    IRIS,
    SMALL_SPACE,
    TINY_SPACE,
    place_mlflow,
    run_paretune,
    write_study,
)
from mlflow.tracking import MlflowClient
from study_checks import check_consistency, mlflow_runs

import paretune
from paretune.runners.build.builder import Builder
from paretune.runners.build.built import Built
from paretune.runners.store.artifact_store import ArtifactStore
from paretune.runners.workload.loaded import LoadedWorkload
from paretune.search.record.trial import TrialRecord
from paretune.search.study.open_study import load_history


@pytest.mark.slow
def test_two_workers_run_each_stage_once(tmp_path: Path) -> None:
    study = write_study(
        tmp_path,
        space={**TINY_SPACE, "batch_size": [1]},
        budget={"trials": 8, "build_workers": 2},
        strategy={"latency_first": "always"},
    )
    place_mlflow(tmp_path / "results" / "mlflow.db")
    done = run_paretune("search", study)
    assert done.returncode == 0, done.stdout + done.stderr
    check_consistency(study, 8)
    log = ArtifactStore(tmp_path / "results" / "store").executions()
    started = [entry["key"] for entry in log if entry["event"] == "started"]
    assert len(started) == len(set(started)) > 10
    assert {entry["key"] for entry in log if entry["event"] == "finished"} == set(started)
    history = load_history(study)
    assert any("measure-skeleton" in record.stage_seconds for record in history.records)
    assert all("accuracy" not in record.metrics for record in history.skipped)
    assert sum(record.saved_seconds for record in history.records) > 0


@pytest.mark.slow
def test_trained_after_all_no_skipped_candidate_exceeds_its_bound(tmp_path: Path) -> None:
    # A limit that nothing keeps: whatever still needs training is skipped, and none of it matters.
    study = write_study(
        tmp_path,
        budget={"trials": 7},
        strategy={"latency_first": "always", "sampler": "random"},
        constraints=[{"metric": "size_bytes", "max": 1}],
        tracking=False,
    )
    done = run_paretune("search", study)
    assert done.returncode == 1 and "keeps the study's constraints" in done.stdout
    skipped = load_history(study).skipped
    assert len(skipped) >= 2
    loaded = LoadedWorkload(f"{IRIS}:Iris", IRIS.parent)
    builder = Builder(loaded, ArtifactStore(tmp_path / "results" / "store"))
    for record in skipped[:2]:
        assert record.skip is not None
        built = builder.build(record.candidate.build)
        assert isinstance(built, Built)
        session = onnxruntime.InferenceSession(
            builder.store.get(built.artifact), providers=["CPUExecutionProvider"]
        )
        [outputs] = session.run(None, {"input": loaded.data.validation.inputs})
        assert loaded.score(np.asarray(outputs), "validation") <= record.skip.quality_bound


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["random", "frontier"])
def test_a_study_starts_with_what_an_earlier_one_found(tmp_path: Path, sampler: str) -> None:
    (tmp_path / "earlier").mkdir()
    earlier = write_study(tmp_path / "earlier", budget={"trials": 5}, tracking=False)
    assert run_paretune("search", earlier).returncode == 0
    known = {r.candidate for r in load_history(earlier).frontier}
    study = write_study(
        tmp_path,
        budget={"trials": len(known) + 1},
        strategy={"warm_start": "earlier/study.yaml", "sampler": sampler},
        tracking=False,
    )
    assert run_paretune("search", study).returncode == 0
    tried = [record.candidate for record in load_history(study).records]
    if sampler == "random":
        assert known <= set(tried)
    else:  # Its first candidates were measured then, so it goes on where that study ended.
        before = load_history(earlier)
        built = {(r.candidate.build, r.candidate.run.target) for r in before.measured}
        opening = before.records[1].candidate
        assert (opening.build, opening.run.target) in built
        assert tried[0] == before.records[0].candidate and tried[1] != opening


@pytest.mark.slow
def test_a_full_store_makes_room_and_the_frontier_stays(tmp_path: Path) -> None:
    budget = {"trials": 22, "store_gb": 1e-6}
    study = write_study(
        tmp_path,
        budget=budget,
        strategy={"sampler": "exhaustive"},
        # Whatever the times, no file of the small student is needed.
        constraints=[{"metric": "accuracy", "min": 0.9}],
        tracking=False,
    )
    done = run_paretune("search", study)
    assert done.returncode == 0, done.stdout + done.stderr
    history, store = load_history(study), ArtifactStore(tmp_path / "results" / "store")
    assert len(history.measured) == 22
    assert all(store.get(_digest(record)) for record in history.frontier)
    gone = [record for record in history.measured if store.get(_digest(record)) is None]
    assert gone, "a store of a kilobyte holds everything"


def _digest(record: TrialRecord) -> str:
    assert record.measurement is not None
    return record.measurement.artifact


def test_failed_candidates_are_data_and_the_study_continues(tmp_path: Path) -> None:
    space = {**TINY_SPACE, "student": ["reference"], "quantization": ["fp32"]}
    study = write_study(tmp_path, workload=f"{IRIS}:Unprunable", space=space)
    place_mlflow(tmp_path / "results" / "mlflow.db")
    done = run_paretune("search", study)
    assert done.returncode == 0, done.stderr
    check_consistency(study, 4)
    failed = [run for run in mlflow_runs(study) if run.info.status == "FAILED"]
    assert len(failed) == 2
    for run in failed:
        assert run.data.params["pruning_ratio"] == "0.5"
        assert run.data.tags["failure.stage"] == "prune"
        assert run.data.tags["failure.kind"] == "unsupported"
        assert "removes no channel" in run.data.tags["failure.reason"]
        client = MlflowClient(tracking_uri=f"sqlite:///{study.parent}/results/mlflow.db")
        log = Path(client.download_artifacts(run.info.run_id, "failure.log"))
        assert "paretune stage: prune" in log.read_text("utf-8")
    numbers = ", ".join(str(record.number) for record in load_history(study).failed)
    assert "2 trials failed" in done.stdout and f" {numbers} " in done.stdout


@pytest.mark.slow
def test_a_runner_in_another_interpreter_is_a_provider_of_its_own(tmp_path: Path) -> None:
    space = {
        **SMALL_SPACE,
        "student": ["reference"],
        "pruning_ratio": [0.0],
        "quantization": ["fp32"],
        "execution_provider": ["CPUExecutionProvider", "second/CPUExecutionProvider"],
    }
    runners = {"second": {"python": sys.executable}}
    study = write_study(tmp_path, space=space, runners=runners)
    done = run_paretune("search", study)
    assert done.returncode == 0, done.stderr
    ran = [record.candidate.run.runner for record in load_history(study).measured]
    assert sorted(ran) == ["onnxruntime", "onnxruntime", "second", "second"]
    check_consistency(study, 4)


def test_a_runner_that_is_not_there_stops_the_study_with_the_fix(tmp_path: Path) -> None:
    providers = ["CPUExecutionProvider", "second/CPUExecutionProvider"]
    space = {**SMALL_SPACE, "execution_provider": providers}
    study = write_study(tmp_path, space=space, runners={"second": {"python": "no/python"}})
    done = run_paretune("search", study)
    assert done.returncode == 1
    assert "cannot start the runner second" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.usefixtures("built")
def test_rules_in_yaml_and_python_are_kept(tmp_path: Path) -> None:
    (tmp_path / "rules.py").write_text(
        "def small_batches(candidate):\n"
        "    return 'too slow to wait for' if candidate.run.batch_size > 1 else None\n"
    )
    rules = [
        {"forbid": {"student": "small"}, "reason": "not this one"},
        {"function": "rules.py:small_batches"},
    ]
    study = write_study(
        tmp_path, space=TINY_SPACE, rules=rules, budget={"trials": 50}, tracking=False
    )
    done = run_paretune("search", study)
    assert done.returncode == 0, done.stderr
    assert "every candidate of the space was tried" in done.stdout
    tried = [record.candidate for record in load_history(study).records]
    assert len(tried) == 4
    assert {c.build.student for c in tried} == {"reference"}
    assert {c.run.batch_size for c in tried} == {1}


@pytest.mark.slow
@pytest.mark.usefixtures("built")
def test_a_study_runs_from_its_own_folder(tmp_path: Path) -> None:
    write_study(tmp_path, budget={"trials": 1}, tracking=False)
    command = [sys.executable, "-m", "paretune", "search", "study.yaml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.usefixtures("built")
def test_python_calls_are_short(tmp_path: Path) -> None:
    limit = {"metric": "accuracy", "min": 0.3}
    study = write_study(tmp_path, space=BUILT_SPACE, constraints=[limit], tracking=False)
    result = paretune.run(study, trials=2)
    assert len(result.history.measured) == 2
    assert paretune.status(study).baseline is not None
    assert not (tmp_path / "results" / "mlflow.db").exists()
