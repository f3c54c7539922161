"""What a reviewer sees in MLflow: groups of numbers, gains first, data and commit, pictures."""

import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import place_mlflow, run_paretune
from mlflow.entities import Run
from study_checks import mlflow_runs, numbers
from test_mlflow_standing import BASELINE, QUICK, SLOW, confirm
from test_tracking import GOALS, opened, opened_at, runs

from paretune.runners.measure.statistic import Statistic
from paretune.search.record.history import History
from paretune.search.record.trial import TrialRecord
from paretune.search.review.importance import importance_figure, importances
from paretune.search.review.mlflow.audit import disagreements
from paretune.search.review.mlflow.client import mlflow_client
from paretune.search.review.mlflow.desired_runs import study_run
from paretune.search.review.mlflow.experiment import VIEW, study_experiment, view_address
from paretune.search.review.mlflow.figures import parallel_figure, time_figure
from paretune.search.review.mlflow.metric_names import MetricNames
from paretune.search.review.mlflow.origin import git_tags, log_splits, log_test_split
from paretune.search.review.plot import pareto_figure
from paretune.spaces import BuildSpec, Quantization

Make = Callable[..., TrialRecord]


@pytest.fixture
def history(make_record: Make) -> History:
    metrics = [BASELINE, QUICK, QUICK | {"latency_p95_ms": 1.01}, SLOW]
    return History(GOALS, records=[make_record(n, m) for n, m in enumerate(metrics)])


def test_each_number_is_in_a_group_and_gains_are_first(tmp_path: Path, history: History) -> None:
    confirm(history)
    run = runs(opened(tmp_path, history))[1]
    # MLflow lists metrics by name.
    names = sorted(run.data.metrics)
    assert all("/" in name for name in names)
    gains = [name for name in names if name.startswith("gain/")]
    assert len(gains) == 8 and names[:8] == gains
    assert {name.partition("/")[0] for name in names} == {
        *("gain", "knob", "latency", "publication", "quality", "resources", "start"),
        *("throughput", "time"),
    }
    for name in ("latency/confirmed_latency_p95_ms", "quality/confirmed_accuracy"):
        low, high = run.data.metrics[f"{name}_low"], run.data.metrics[f"{name}_high"]
        assert low < run.data.metrics[name] < high
    assert len(numbers(run)) == len(names)  # a name is in one group only


@pytest.mark.parametrize(
    ("name", "there"),
    [
        ("latency_p95_ms", "latency/latency_p95_ms"),
        ("confirmed_latency_p95_ms_low", "latency/confirmed_latency_p95_ms_low"),
        ("end_to_end_latency_p50_ms", "latency/end_to_end_latency_p50_ms"),
        ("part_decode_latency_p50_ms", "latency/part_decode_latency_p50_ms"),
        ("throughput_samples_per_s", "throughput/throughput_samples_per_s"),
        ("peak_memory_bytes", "resources/peak_memory_bytes"),
        ("session_creation_ms", "start/session_creation_ms"),
        ("accuracy_high", "quality/accuracy_high"),
        ("flipped_share", "quality/flipped_share"),
        ("confirmed_speedup_vs_baseline", "gain/confirmed_speedup_vs_baseline"),
    ],
)
def test_a_metric_has_its_own_name_within_its_group(name: str, there: str) -> None:
    assert MetricNames().of_metric(name) == there
    assert MetricNames(is_grouped=False).of_metric(name) == name


def test_a_study_of_the_last_version_keeps_its_names(tmp_path: Path, history: History) -> None:
    place_mlflow(tmp_path / "mlflow.db")
    client = mlflow_client(f"sqlite:///{tmp_path / 'mlflow.db'}")
    definition = opened_at(tmp_path / "elsewhere").definition
    experiment = study_experiment(client, "study", tmp_path / "mlartifacts")
    # As the last version began it: without the tag that says that names have groups.
    begun = study_run(definition)
    client.create_run(experiment, tags=dict(begun.tags), run_name="study")
    tracking = opened(tmp_path, history)
    confirm(history)
    tracking.log_confirmed(history)
    tracking.finish(history, "done", "FINISHED")
    found = runs(tracking)
    assert found[1].data.metrics["speedup_vs_baseline"] == 4.0
    assert not [name for run in found.values() for name in run.data.metrics if "/" in name]
    assert client.get_run(tracking.parent_id).data.metrics["trials"] == 4
    again = opened(tmp_path, history)
    assert again.runs == tracking.runs
    uri = client.tracking_uri
    assert disagreements(uri, "study", again.definition, history, None) == []
    view = json.loads(client.get_experiment(experiment).tags[f"mlflow.sharedViewState.{VIEW}"])
    assert view["orderByKey"] == "metrics.`speedup_vs_baseline`"


def test_the_view_shows_columns_that_there_are(iris_study: Path) -> None:
    uri = f"sqlite:///{iris_study.parent}/results/mlflow.db"
    experiment = mlflow_client(uri).get_experiment_by_name("iris")
    assert view_address(uri, "iris") == (
        f"/#/experiments/{experiment.experiment_id}/runs?viewStateShareKey={VIEW}"
    )
    assert view_address(uri, "no such study") == ""
    view = json.loads(experiment.tags[f"mlflow.sharedViewState.{VIEW}"])
    published = next(
        run for run in mlflow_runs(iris_study) if run.data.tags.get("published") == "true"
    )
    there = {f"metrics.`{name}`" for name in published.data.metrics}
    there |= {f"params.`{name}`" for name in published.data.params}
    there |= {f"tags.`{name}`" for name in published.data.tags}
    assert set(view["selectedColumns"]) <= there
    assert view["orderByKey"] == view["selectedColumns"][0] == "metrics.`gain/speedup_vs_baseline`"


def datasets(run: Run) -> dict[str, str]:
    """Return the digests of a run's data, by the context in which they were used."""
    found = [(each.tags[0].value, each.dataset.digest) for each in run.inputs.dataset_inputs]
    assert len(dict(found)) == len(found)
    return dict(found)


def test_runs_say_which_data_they_read(iris_study: Path) -> None:
    [parent] = mlflow_runs(iris_study, "study")
    read = datasets(parent)
    assert set(read) == {"training", "calibration", "validation"} and len(set(read.values())) == 3
    tested = {run.data.tags.get("published"): datasets(run) for run in mlflow_runs(iris_study)}
    assert set(tested["true"]) == {"test"} and tested[None] == {}


def test_data_are_logged_once(tmp_path: Path, history: History) -> None:
    tracking = opened(tmp_path, history)
    definition = {
        "workload": "workload.py:Mine",
        "code or data of the workload": {"the train split": "1" * 64, "the metric": "2" * 64},
    }
    for _ in range(2):
        log_splits(tracking.client, tracking.parent_id, "study", definition)
        log_test_split(tracking.client, tracking.parent_id, "study", "x", ("3" * 64,))
    read = datasets(tracking.client.get_run(tracking.parent_id))
    assert read["training"] == "1" * 36 and set(read) == {"training", "test"}
    # A study of the first versions has one digest of everything.
    log_splits(tracking.client, tracking.parent_id, "study", {"code or data of the workload": "x"})


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=a", "-c", "user.email=a@b"]
    done = subprocess.run(
        ["git", "-C", str(folder), *who, *arguments], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_a_study_in_a_repository_says_its_commit(tmp_path: Path) -> None:
    assert git_tags(tmp_path) == {}
    git(tmp_path, "init", "-q")
    assert git_tags(tmp_path) == {}  # nothing is committed
    opened_at(tmp_path / "study")  # writes the study file
    git(tmp_path, "add", "study/study.yaml")
    git(tmp_path, "commit", "-qm", "a study")
    commit = git(tmp_path, "rev-parse", "HEAD")
    names = ("mlflow.source.git.commit", "mlflow.source.git.dirty")
    assert git_tags(tmp_path / "study") == dict(zip(names, (commit, "false"), strict=True))
    (tmp_path / "study" / "study.yaml").write_text("name: other\n", "utf-8")
    assert git_tags(tmp_path / "study")["mlflow.source.git.dirty"] == "true"
    anew = opened_at(tmp_path / "study", tmp_path / "anew.db")
    assert anew.client.get_run(anew.parent_id).data.tags[names[0]] == commit


def test_there_is_a_picture_for_each_question(iris_study: Path) -> None:
    [parent] = mlflow_runs(iris_study, "study")
    client = mlflow_client(f"sqlite:///{iris_study.parent}/results/mlflow.db")
    files = {item.path for item in client.list_artifacts(parent.info.run_id)}
    pictures = {"pareto.html", "importance.html", "parallel.html", "time.html"}
    assert pictures <= files
    note = parent.data.tags["mlflow.note.content"]
    assert all(f"`{picture}`" in note for picture in pictures)


@pytest.fixture
def decided(make_record: Make, rng: np.random.Generator) -> History:
    """Sixty trials: the quantization decides the latency, nothing the accuracy."""
    records = []
    for number in range(60):
        scheme = (Quantization.FP32, Quantization.INT8_DYNAMIC)[number % 2]
        latency = (4.0 if scheme == Quantization.FP32 else 1.0) * rng.uniform(0.99, 1.01)
        metrics = {"latency_p95_ms": latency, "accuracy": rng.uniform(0.8, 0.9)}
        record = make_record(number, metrics, batch_size=int(rng.choice([1, 8])))
        run = replace(record.candidate.run, intra_op_threads=1 + number // 2 % 2)
        build = BuildSpec("reference", 0.0, scheme)
        candidate = replace(record.candidate, build=build, run=run)
        seconds = {"measure": 2.0, "export": 1.0}
        records.append(replace(record, candidate=candidate, stage_seconds=seconds))
    return History(GOALS[:2], records=records)


def test_what_an_axis_is_worth_has_its_uncertainty(decided: History) -> None:
    found = importances(decided)
    latency = found["latency_p95_ms"]
    assert max(latency, key=lambda axis: latency[axis].value) == "quantization"
    for shares in found.values():
        for share in shares.values():
            low, high = share.ends
            assert 0 <= low <= share.value <= high <= 1
    # What an axis decides is told apart from nothing; what chance decides is not.
    assert latency["quantization"].ends[0] > 0.1
    assert all(share.ends[0] < 0.01 for share in found["accuracy"].values())
    figure = importance_figure(decided, "x")
    assert figure is not None and all(len(bar.error_x.array) == len(bar.x) for bar in figure.data)


def test_lines_go_through_what_varies_and_seconds_add_up(decided: History) -> None:
    figure = parallel_figure(decided, "x")
    assert figure is not None
    [lines] = figure.data
    labels = [each.label for each in lines.dimensions]
    axes = ["quantization", "batch_size", "intra_op_threads"]
    assert sorted(labels) == sorted([*axes, "accuracy", "latency_p95_ms"])
    assert all(len(each.values) == 60 for each in lines.dimensions)
    latency = next(each for each in lines.dimensions if each.label == "latency_p95_ms")
    assert 10 ** latency.values[0] == pytest.approx(decided.records[0].metrics["latency_p95_ms"])
    spent = time_figure(decided, "x")
    assert spent is not None
    [bars] = spent.data
    assert dict(zip(bars.y, bars.x, strict=True)) == {"measure": 120.0, "export": 60.0}
    nothing = History(GOALS)
    assert parallel_figure(nothing, "x") is time_figure(nothing, "x") is None


def test_points_have_their_intervals(make_record: Make) -> None:
    record = make_record(0, {"accuracy": 0.9})
    assert record.measurement is not None
    statistics = record.measurement.statistics | {"latency_p95_ms": Statistic(2.0, 1.5, 3.0)}
    outcome = replace(record.measurement, statistics=statistics)
    history = History(GOALS[:2], records=[replace(record, outcome=outcome)])
    [star] = [trace for trace in pareto_figure(history, "x").data if trace.name == "baseline"]
    assert (star.error_x.arrayminus, star.error_x.array) == ((0.5,), (1.0,))
    assert (star.error_y.arrayminus, star.error_y.array) == ((0.0,), (0.0,))


def test_ui_of_a_server_elsewhere_names_it(iris_copy: Path) -> None:
    text = iris_copy.read_text("utf-8") + "tracking_uri: http://127.0.0.1:9\n"
    iris_copy.write_text(text, "utf-8")
    done = run_paretune("ui", iris_copy)
    assert done.returncode == 0 and "http://127.0.0.1:9" in done.stdout
