"""A finished study, by the command line: its record, MLflow, the frontier, a pick."""

import csv
import io
import json
import re
from pathlib import Path

import numpy as np
import onnxruntime
import optuna
from conftest import (
    IRIS,
    run_paretune,
    write_study,
)
from mlflow.entities import Run
from mlflow.tracking import MlflowClient
from study_checks import check_consistency, mlflow_runs, numbers

import paretune
from paretune.runners.workload.data import Data
from paretune.runners.workload.loaded import LoadedWorkload
from paretune.search.study.open_study import load_history


def test_a_study_ends_with_a_frontier_in_mlflow_and_storage(iris_study: Path) -> None:
    check_consistency(iris_study, 10)
    baseline = load_history(iris_study).baseline
    assert baseline is not None and not baseline.candidate.build.is_compressed


def test_frontier_equals_brute_force_over_mlflow_alone(iris_study: Path) -> None:
    done = [r for r in mlflow_runs(iris_study) if r.data.tags["outcome"] == "measured"]

    def beats(a: Run, b: Run) -> bool:
        x, y = numbers(a), numbers(b)
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
    assert parent.data.metrics["search/trials"] == 10
    assert parent.data.metrics["search/hypervolume"] > 0
    client = MlflowClient(tracking_uri=f"sqlite:///{iris_study.parent}/results/mlflow.db")
    artifacts = {item.path for item in client.list_artifacts(parent.info.run_id)}
    assert {"pareto.html", "frontier.json", "study.yaml"} <= artifacts
    page = Path(client.download_artifacts(parent.info.run_id, "pareto.html")).read_text("utf-8")
    assert "latency_p95_ms" in page and "cdn.plot.ly" not in page.split("</script>")[0][:500]
    child = mlflow_runs(iris_study)[0]
    assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert child.data.metrics["knob/batch_size"] == 1
    assert child.data.tags["environment.onnxruntime"] == onnxruntime.__version__


def test_optuna_storage_holds_the_trials_as_measured(iris_study: Path) -> None:
    storage = f"sqlite:///{iris_study.parent}/results/optuna.db"
    study = optuna.load_study(study_name="iris", storage=storage)
    assert study.metric_names == ["accuracy", "latency_p95_ms", "throughput_samples_per_s"]
    best = {trial.number for trial in study.best_trials}
    assert best == {record.number for record in load_history(iris_study).frontier}
    assert study.trials[0].params["student"] == "reference"


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
