"""Studies over several runtimes, with whole requests and offered load as objectives."""

import json
from pathlib import Path

import pytest
from conftest import IRIS, QUICK, SMALL_SPACE, run_paretune, write_study

from paretune.runners.runtimes.launched.counters import energy_mj
from paretune.search.configure.schema import StudyConfig
from paretune.search.study.open_study import load_history
from paretune.search.study.parts import study_space

OBJECTIVES = [
    {"metric": "accuracy"},
    {"metric": "end_to_end_latency_p95_ms"},
    {"metric": "load_latency_p99_ms"},
]
LOAD = {"queries_per_s": 200, "seconds": 0.3}


def _has_bf16() -> bool:
    from paretune.runners.openvino_core import capabilities

    return "BF16" in capabilities()


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    space = {
        **SMALL_SPACE,
        "student": ["reference"],
        "pruning_ratio": [0.0],
        "quantization": ["fp32", "fp16", "bf16", "int8-static", "openvino-int8"],
        "batch_size": [4],
        "execution_provider": ["CPUExecutionProvider", "openvino/CPU", "pytorch/eager-cpu"],
    }
    path = write_study(
        tmp_path_factory.mktemp("runtimes"),
        workload=f"{IRIS}:Served",
        space=space,
        objectives=OBJECTIVES,
        measurement={**QUICK, "load": LOAD},
        budget={"trials": 30},
    )
    done = run_paretune("search", path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "every candidate of the space was tried" in done.stdout
    return path


def test_no_runtime_is_asked_for_what_it_cannot_do(tmp_path: Path) -> None:
    space = SMALL_SPACE | {
        "quantization": ["fp32", "int8-static"],
        "execution_provider": ["CPUExecutionProvider", "openvino/CPU", "pytorch/eager-cpu"],
        "graph_optimization": ["basic", "all"],
    }
    config = StudyConfig.model_validate(
        {"name": "all", "workload": "w.py:W", "space": space | {"intra_op_threads": [1]}}
    )
    found: dict[str, set[tuple[str, str]]] = {}
    for each in study_space(config, tmp_path).candidates():
        what = (each.build.quantization.value, each.run.graph_optimization.value)
        found.setdefault(each.run.runner, set()).add(what)
    both = {"fp32", "int8-static"}
    assert found["onnxruntime"] == {(q, level) for q in both for level in ("basic", "all")}
    assert found["openvino"] == {(q, "all") for q in both}
    assert found["pytorch"] == {("fp32", "all")}


@pytest.mark.slow
def test_every_runtime_builds_and_measures_its_own_kind_of_file(study: Path) -> None:
    history = load_history(study)
    by_runner: dict[str, set[str]] = {}
    for record in history.measured:
        run, build = record.candidate.run, record.candidate.build
        by_runner.setdefault(run.runner, set()).add(build.quantization.value)
        assert record.measurement is not None
        assert set(record.measurement.providers) == {run.execution_provider}
        stage = "export-program" if run.runner == "pytorch" else "export"
        assert stage in record.lineage
    assert by_runner["onnxruntime"] == {"fp32", "fp16", "int8-static"}
    own = {"openvino-int8"} | ({"bf16"} if _has_bf16() else set())
    assert by_runner["openvino"] == by_runner["onnxruntime"] | own
    assert by_runner["pytorch"] == {"fp32", "fp16", "bf16"}  # a rule keeps int8 from PyTorch
    assert bool(history.failed) != _has_bf16()


@pytest.mark.slow
def test_whole_requests_and_load_are_metrics_like_any_other(study: Path) -> None:
    history = load_history(study)
    assert [o.metric for o in history.objectives] == [entry["metric"] for entry in OBJECTIVES]
    for record in history.measured:
        metrics = record.metrics
        parts = metrics["preprocess_latency_p50_ms"] + metrics["postprocess_latency_p50_ms"]
        assert metrics["end_to_end_latency_p50_ms"] > parts
        assert metrics["load_completed_per_s"] > 0
        assert metrics["load_latency_p99_ms"] >= metrics["load_latency_p50_ms"]
        assert metrics["cpu_time_ms"] > 0
    assert history.frontier


@pytest.mark.slow
def test_a_bundle_of_each_runtime_names_its_file(study: Path, tmp_path: Path) -> None:
    history = load_history(study)
    from paretune.search.deliver.bundle import write_bundle
    from paretune.search.study.open_study import OpenStudy
    from paretune.search.study.parts import study_runner

    opened = OpenStudy(study)
    for name, scheme, file in (
        ("pytorch", "fp32", "model.pt2"),
        ("openvino", "fp32", "model.onnx"),
        ("openvino", "openvino-int8", "model.xml"),
    ):
        record = next(
            r
            for r in history.measured
            if (r.candidate.run.runner, r.candidate.build.quantization.value) == (name, scheme)
        )
        runner = study_runner(opened, name)
        path = write_bundle(record, history, opened.store, tmp_path / name, opened.name, runner)
        manifest = json.loads(path.read_text("utf-8"))
        assert manifest["model"]["file"] == file and (path.parent / file).is_file()
        assert manifest["run"]["runtime"] == name


@pytest.mark.parametrize(
    ("workload", "metrics", "says"),
    [
        (
            "Iris",
            ["end_to_end_latency_p95_ms", "load_latency_p99_ms"],
            [
                "needs a pipeline, and Iris has none",
                "load_latency_p99_ms needs an offered load, and there is none",
            ],
        ),
        ("Unserved", ["accuracy"], ["a pipeline needs requests to serve"]),
        (
            "Misserved",
            ["accuracy"],
            ["must turn requests('validation') into the validation inputs, but its values differ"],
        ),
    ],
)
def test_what_a_metric_needs_is_asked_for_before_the_search(
    tmp_path: Path, workload: str, metrics: list[str], says: list[str]
) -> None:
    objectives = [{"metric": metric} for metric in metrics]
    path = write_study(tmp_path, workload=f"{IRIS}:{workload}", objectives=objectives)
    done = run_paretune("search", path)
    assert done.returncode in (1, 2) and "Traceback" not in done.stderr
    for each in says:
        assert each in done.stderr


@pytest.mark.slow
def test_a_cards_metric_without_a_card_stops_before_the_search(tmp_path: Path) -> None:
    limits = [{"metric": "device_memory_bytes", "max": 1e9}]
    done = run_paretune("search", write_study(tmp_path, constraints=limits))
    assert done.returncode == 1 and "back ends on cpu" in done.stderr, done.stderr


@pytest.mark.skipif(energy_mj("cpu") is not None, reason="this processor's counter can be read")
def test_energy_without_a_counter_stops_before_the_search(tmp_path: Path) -> None:
    path = write_study(tmp_path, objectives=[{"metric": "accuracy"}, {"metric": "energy_mj"}])
    done = run_paretune("search", path)
    assert done.returncode == 1 and "can read none on cpu" in done.stderr
