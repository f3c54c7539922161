"""Studies run for real, by the command line: frontier, pick, failures, kills, MLflow."""

import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import optuna
import pytest
from conftest import (
    BUILT_SPACE,
    IRIS,
    SMALL_SPACE,
    TINY_SPACE,
    mlflow_as_it_is,
    place_mlflow,
    run_paretune,
    start_paretune,
    wait_until,
    write_study,
)
from mlflow.entities import Run
from mlflow.tracking import MlflowClient

import paretune
from paretune.runners.build.builder import Builder
from paretune.runners.build.built import Built
from paretune.runners.store.artifact_store import ArtifactStore
from paretune.runners.workload.data import Data
from paretune.runners.workload.loaded import LoadedWorkload
from paretune.search.record.trial import TrialRecord
from paretune.search.record.under_way import UnderWay
from paretune.search.study.open_study import load_history


def mlflow_runs(study: Path, role: str = "trial") -> list[Run]:
    client = MlflowClient(tracking_uri=mlflow_as_it_is(study))
    experiment = client.get_experiment_by_name("iris")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], f"tags.`paretune.role` = '{role}'")
    return sorted(runs, key=lambda run: int(run.data.tags.get("paretune.trial", -1)))


def view(study: Path) -> list[dict[str, Any]]:
    """Return MLflow's view of each trial, without values that differ between runs."""
    return [
        {
            "trial": int(run.data.tags["paretune.trial"]),
            "status": run.info.status,
            "frontier": run.data.tags["frontier"],
            "published": run.data.tags.get("published"),
            "params": run.data.params,
            "metrics": run.data.metrics,
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
            assert run.data.metrics[name] == pytest.approx(value, rel=1e-12)


def check_nothing_ran_twice(study: Path) -> None:
    """Check in the store's log that no stage with a kept output ran again."""
    finished: set[str] = set()
    log = ArtifactStore(study.parent / "results" / "store").executions()
    assert log
    for entry in log:
        assert entry["key"] not in finished, entry
        if entry["event"] == "finished":
            finished.add(entry["key"])


def test_a_study_ends_with_a_frontier_in_mlflow_and_storage(iris_study: Path) -> None:
    check_consistency(iris_study, 10)
    baseline = load_history(iris_study).baseline
    assert baseline is not None and not baseline.candidate.build.is_compressed


def test_frontier_equals_brute_force_over_mlflow_alone(iris_study: Path) -> None:
    done = [r for r in mlflow_runs(iris_study) if r.data.tags["outcome"] == "measured"]

    def beats(a: Run, b: Run) -> bool:
        x, y = a.data.metrics, b.data.metrics
        gains = [
            x["accuracy"] - y["accuracy"],
            y["latency_p95_ms"] - x["latency_p95_ms"],
            x["throughput_samples_per_s"] - y["throughput_samples_per_s"],
        ]
        return min(gains) >= 0 and max(gains) > 0

    brute = {r.data.tags["paretune.trial"] for r in done if not any(beats(o, r) for o in done)}
    shown = [run for run in done if run.data.tags["search_frontier"] == "true"]
    tagged = {run.data.tags["paretune.trial"] for run in shown}
    assert brute == tagged == {str(each.number) for each in load_history(iris_study).frontier}


def test_mlflow_has_what_a_reviewer_wants(iris_study: Path) -> None:
    [parent] = mlflow_runs(iris_study, "study")
    assert parent.info.status == "FINISHED"
    assert parent.data.tags["paretune.status"] == "done"
    assert "## Published frontier" in parent.data.tags["mlflow.note.content"]
    assert parent.data.metrics["trials"] == 10
    assert parent.data.metrics["hypervolume"] > 0
    client = MlflowClient(tracking_uri=f"sqlite:///{iris_study.parent}/results/mlflow.db")
    artifacts = {item.path for item in client.list_artifacts(parent.info.run_id)}
    assert {"pareto.html", "frontier.json", "study.yaml"} <= artifacts
    page = Path(client.download_artifacts(parent.info.run_id, "pareto.html")).read_text("utf-8")
    assert "latency_p95_ms" in page and "cdn.plot.ly" not in page.split("</script>")[0][:500]
    child = mlflow_runs(iris_study)[0]
    assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert child.data.metrics["batch_size"] == 1
    assert child.data.tags["environment.onnxruntime"] == onnxruntime.__version__


def test_optuna_storage_holds_the_trials_as_measured(iris_study: Path) -> None:
    storage = f"sqlite:///{iris_study.parent}/results/optuna.db"
    study = optuna.load_study(study_name="iris", storage=storage)
    assert study.metric_names == ["accuracy", "latency_p95_ms", "throughput_samples_per_s"]
    best = {trial.number for trial in study.best_trials}
    assert best == {record.number for record in load_history(iris_study).frontier}
    assert study.trials[0].params["student"] == "reference"


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
def test_a_study_starts_with_what_an_earlier_one_found(tmp_path: Path) -> None:
    (tmp_path / "earlier").mkdir()
    earlier = write_study(tmp_path / "earlier", budget={"trials": 5}, tracking=False)
    assert run_paretune("search", earlier).returncode == 0
    known = {r.candidate for r in load_history(earlier).frontier}
    study = write_study(
        tmp_path,
        budget={"trials": len(known) + 1},
        strategy={"warm_start": "earlier/study.yaml", "sampler": "random"},
        tracking=False,
    )
    assert run_paretune("search", study).returncode == 0
    assert known <= {record.candidate for record in load_history(study).records}


@pytest.mark.slow
def test_a_full_store_makes_room_and_the_frontier_stays(tmp_path: Path) -> None:
    budget = {"trials": 22, "store_gb": 1e-6}
    study = write_study(tmp_path, budget=budget, strategy={"sampler": "exhaustive"}, tracking=False)
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


def test_running_again_does_nothing_more(iris_copy: Path) -> None:
    before = view(iris_copy)
    done = run_paretune("search", iris_copy)
    assert done.returncode == 0 and "10 of 10 trials are done" in done.stdout
    assert view(iris_copy) == before


def test_mlflow_is_a_view_that_can_be_rebuilt(iris_copy: Path) -> None:
    before = view(iris_copy)
    (iris_copy.parent / "results" / "mlflow.db").unlink()
    assert start_paretune("search", iris_copy).returncode == 0
    assert view(iris_copy) == before


def test_printed_frontier(iris_study: Path, tmp_path: Path) -> None:
    numbers = [record.number for record in paretune.frontier(iris_study)]
    points = json.loads(run_paretune("frontier", iris_study, "--format", "json").stdout)
    assert [point["trial"] for point in points] == numbers
    rows = list(
        csv.DictReader(io.StringIO(run_paretune("frontier", iris_study, "--format", "csv").stdout))
    )
    assert [int(row["trial"]) for row in rows] == numbers
    table = run_paretune("frontier", iris_study).stdout
    assert "accuracy ↑" in table and "× faster" in table and "published frontier" in table
    plot = tmp_path / "plot.html"
    assert run_paretune("frontier", iris_study, "--plot", plot).returncode == 0
    assert "<html>" in plot.read_text("utf-8")[:100]


def test_status_tells_time_by_stage(iris_study: Path) -> None:
    out = run_paretune("status", iris_study).stdout
    assert "10 trials" in out
    for stage in ("measure", "export", "quantize", "distill"):
        assert stage in out


def test_a_pick_is_a_file_that_does_what_its_manifest_says(iris_copy: Path, tmp_path: Path) -> None:
    done = run_paretune("pick", iris_copy, "--max-latency-ms", "100", "--out", tmp_path / "picked")
    assert done.returncode == 0, done.stderr
    manifest = json.loads((tmp_path / "picked" / "manifest.json").read_text("utf-8"))
    session = onnxruntime.InferenceSession(
        str(tmp_path / "picked" / manifest["model"]["file"]),
        providers=[manifest["run"]["execution_provider"]],
    )
    data: Data = LoadedWorkload(f"{IRIS}:Iris", IRIS.parent).data
    name, size = manifest["model"]["inputs"][0]["name"], manifest["run"]["batch_size"]
    assert manifest["quality"]["split"] == "test"
    inputs, targets = data.test.inputs, data.test.targets
    batches = [inputs[i : i + size] for i in range(0, len(inputs), size)]
    outputs = np.concatenate([session.run(None, {name: batch})[0] for batch in batches])
    assert (outputs.argmax(axis=1) == targets).mean() == manifest["quality"]["value"]
    published, again = (manifest[kind]["latency_p95_ms"] for kind in ("metrics", "rechecked"))
    assert published["high"] <= 100
    assert again["inside"] == (published["low"] <= again["value"] <= published["high"])
    place = "inside" if again["inside"] else "outside"
    assert re.search(rf"measured just now: latency_p95_ms .+\(published .+: {place}\)", done.stdout)
    assert f"wrote {tmp_path / 'picked' / manifest['model']['file']} and " in done.stdout
    history = paretune.status(iris_copy)
    base = next(point for point in history.confirmed if point.number == 0)
    assert manifest["baseline"] == base.metrics  # fresh, as what stands beside it
    picked = paretune.pick(iris_copy, max_latency_ms=100)
    assert picked.record.number == manifest["trial"]
    assert picked.rechecks["latency_p95_ms"].published.value == published["value"]


def test_without_a_budget_a_drop_asks_for_speed(iris_study: Path) -> None:
    done = run_paretune("pick", iris_study, "--max-accuracy-drop", "1", "--no-measure")
    assert done.returncode == 0, done.stderr
    assert "the lowest latency_p95_ms wins (--prefer accuracy" in done.stdout
    fast = paretune.pick(iris_study, max_quality_drop=1.0, measure=False)
    assert f"trial {fast.record.number}: " in done.stdout
    assert fast.record in fast.equals
    accurate = paretune.pick(iris_study, max_quality_drop=1.0, prefer="accuracy", measure=False)
    assert accurate.record.metrics["accuracy"] >= fast.record.metrics["accuracy"]


def test_a_pick_that_cannot_be_made_says_what_to_relax(iris_study: Path) -> None:
    done = run_paretune("pick", iris_study, "--max-latency-ms", "0.0000001")
    assert done.returncode == 1
    assert "the nearest point per limit" in done.stderr and "Traceback" not in done.stderr


def test_a_study_that_was_not_started(tmp_path: Path) -> None:
    done = run_paretune("frontier", write_study(tmp_path))
    assert done.returncode == 1
    assert "has not been started; run `paretune search" in done.stderr
    assert not (tmp_path / "results").exists()


def test_a_changed_study_needs_a_new_name(iris_copy: Path, tmp_path: Path) -> None:
    smaller = {**SMALL_SPACE, "batch_size": [1]}
    results = iris_copy.parent / "results"
    done = run_paretune("search", write_study(tmp_path, space=smaller, output_dir=str(results)))
    assert done.returncode == 1
    assert "was started with another space" in done.stderr


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
        assert run.data.tags["failure.kind"] == "invalid"
        assert "multiples of 1000" in run.data.tags["failure.reason"]
        client = MlflowClient(tracking_uri=f"sqlite:///{study.parent}/results/mlflow.db")
        log = Path(client.download_artifacts(run.info.run_id, "failure.log"))
        assert "paretune stage: prune" in log.read_text("utf-8")
    assert "failed trials" in done.stdout


def test_one_cause_for_every_failure_stops_early_and_continues_once_fixed(tmp_path: Path) -> None:
    workload = tmp_path / "workload.py"
    source = IRIS.read_text("utf-8")
    gate = 'if not Path(__file__).with_name("checkpoint.pt").exists():\n            raise'
    source = source.replace("        raise", f"        {gate}", 1)
    source = source.replace("import numpy", "from pathlib import Path\n\nimport numpy", 1)
    workload.write_text(source + "        super().train_reference(model, data)\n", "utf-8")
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
    wait_until(lambda: (death := note.death()) and max(death.numbers) >= seen)  # the next trial
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


@pytest.mark.usefixtures("built")
def test_a_study_runs_from_its_own_folder(tmp_path: Path) -> None:
    write_study(tmp_path, budget={"trials": 1}, tracking=False)
    command = [sys.executable, "-m", "paretune", "search", "study.yaml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


@pytest.mark.usefixtures("built")
def test_python_calls_are_short(tmp_path: Path) -> None:
    limit = {"metric": "accuracy", "min": 0.3}
    study = write_study(tmp_path, space=BUILT_SPACE, constraints=[limit], tracking=False)
    result = paretune.run(study, trials=2)
    assert len(result.history.measured) == 2
    assert paretune.status(study).baseline is not None
    assert not (tmp_path / "results" / "mlflow.db").exists()


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
    check_consistency(study, trials)
    check_nothing_ran_twice(study)
