"""The pipeline around a model: parts timed apart, axes of its own, and a quality that fits them."""

import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import IRIS, QUICK, TESTS, run_paretune, write_study

from paretune.runners.execute.job import Job, Measure
from paretune.runners.measure.statistic import Statistic
from paretune.runners.measure.stored_samples import StoredPipeline, StoredSamples
from paretune.runners.metric import is_quality, metric_of, part_latency, part_of, percentile_of
from paretune.runners.runtimes.launch import EndToEnd
from paretune.runners.runtimes.launched.pipeline import MODEL, Pipeline
from paretune.runners.runtimes.launched.refusal import RefusedError
from paretune.runners.runtimes.launched.request.serving import same
from paretune.runners.workload.offered_pipeline import OfferedPipeline
from paretune.search.configure.study_file import read_study_file
from paretune.search.deliver.choice import choose
from paretune.search.propose.surrogates.forecast import Forecast
from paretune.search.record.history import History
from paretune.search.record.objective import Objective
from paretune.search.record.request_time import RequestTime, movers, request_text
from paretune.search.record.trial import TrialRecord
from paretune.search.record.wish import Wish
from paretune.search.review.frontier_table import frontier_table
from paretune.search.study.open_study import load_history
from paretune.search.study.parts import study_space
from paretune.spaces import (
    AXES,
    AxisRecord,
    Candidate,
    ConfigError,
    RunSpec,
    SearchSpace,
    ThreadLimit,
    WorkloadError,
)
from paretune.spaces.axes import Value

Make = Callable[..., TrialRecord]
PARTS = TESTS / "parts_pipeline.py"
SPACE: dict[str, Any] = {
    "batch_size": [1],
    "pipeline": {
        "decoder": ["slow", "fast"],
        "arithmetic": ["exact", "coarse"],
        "naming": ["table", "capitals"],
    },
}


def written(folder: Path, text: str) -> Path:
    path = folder / "pipeline.py"
    path.write_text(text, "utf-8")
    return path


@pytest.fixture(scope="module")
def history(searched_iris: Path, tmp_path_factory: pytest.TempPathFactory) -> History:
    """Five ways to serve one model, measured."""
    folder = tmp_path_factory.mktemp("parts")
    shutil.copytree(searched_iris.parent / "results" / "store", folder / "results" / "store")
    upper = {"naming": "capitals"}
    with AXES.restored():
        study = write_study(
            folder,
            rules=[
                {"forbid": {**upper, "decoder": "fast"}, "reason": "once is enough"},
                {"forbid": {**upper, "arithmetic": "coarse"}, "reason": "once is enough"},
            ],
            workload=f"{IRIS}:ServedInParts",
            space=SPACE,
            strategy={"sampler": "exhaustive"},
            budget={"trials": 8},
            objectives=[{"metric": "accuracy"}, {"metric": "end_to_end_latency_p50_ms"}],
            constraints=[{"metric": part_latency("decode", "p50"), "max": 1000.0}],
            measurement={**QUICK, "min_iterations": 40},
        )
        done = run_paretune("search", study)
        assert done.returncode == 0, done.stdout + done.stderr
        return load_history(study)


def of(history: History, **options: str) -> dict[str, float]:
    """Return the metrics of the trial that serves so, all else as the baseline does."""
    base = dict(history.records[0].candidate.run.options)
    wanted = base | options
    (found,) = (r for r in history.measured if dict(r.candidate.run.options) == wanted)
    return found.metrics


@pytest.mark.slow
def test_each_part_is_timed_by_its_name(history: History) -> None:
    slow, fast = of(history), of(history, decoder="fast")
    for part in ("decode", "scale", MODEL, "classes", "name"):
        assert slow[part_latency(part, "p50")] > 0
        assert part_latency(part, "p95") in slow
    assert slow[part_latency("decode", "p50")] >= 4.0 > fast[part_latency("decode", "p50")]
    assert slow["preprocess_latency_p50_ms"] >= slow[part_latency("decode", "p50")]
    assert slow["end_to_end_latency_p50_ms"] >= 4.0


@pytest.mark.slow
def test_quality_is_of_what_the_pipeline_gives_the_model(history: History) -> None:
    exact, coarse = of(history), of(history, arithmetic="coarse")
    assert of(history, decoder="fast")["accuracy"] == exact["accuracy"] > 0.9
    assert (
        coarse["accuracy"] < exact["accuracy"]
    )  # steps of five centimetres say little of a flower


@pytest.mark.slow
def test_a_value_that_changes_answers_is_refused(history: History) -> None:
    (failed,) = history.failed
    assert dict(failed.candidate.run.options)["naming"] == "capitals"
    assert failed.failure and "naming capitals" in failed.failure.message
    assert re.search("SETOSA|VERSICOLOR|VIRGINICA", failed.failure.message)
    assert len(history.measured) == 4


def test_old_files_have_the_models_part_only(tmp_path: Path) -> None:
    old = Pipeline(TESTS / "iris_pipeline.py")
    assert old.parts == [MODEL] and not old.axes
    taken = old.call(lambda feed: [feed], lambda made: made, np.ones((2, 3)))
    assert set(taken) == {"preprocess", MODEL, "postprocess", "end_to_end"}
    only = Pipeline(written(tmp_path, "def postprocess(outputs): return outputs\n"))
    taken = only.call(lambda feed: [feed], lambda made: made, np.ones((2, 3)))
    assert all(value > 0 for value in taken.values())


def test_values_reach_the_functions_that_name_them(tmp_path: Path) -> None:
    text = (
        'AXES = {"wire": ["float", "byte"], "gain": [1, 2]}\n'
        "def as_sent(requests, wire): return (requests, wire)\n"
        "def preprocess(sent, gain): return (*sent, gain)\n"
    )
    path = written(tmp_path, text)
    first, other = Pipeline(path), Pipeline(path, {"wire": "byte", "gain": 2, "row_block": 4})
    assert first.prepared(first.as_sent("r")) == ("r", "float", 1)
    assert other.prepared(other.as_sent("r")) == ("r", "byte", 2)
    assert OfferedPipeline.of(path).axes == {"wire": ("float", "byte"), "gain": (1, 2)}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("preprocess = 3", "must be a function, or a list of functions"),
        ("preprocess = []", "must be a function, or a list of functions"),
        ("preprocess = [lambda r: r]", "parts need names of their own"),
        ("def model(r): return r\npreprocess = [model]", "parts need names of their own"),
        ("def a(r): return r\npreprocess = [a]\npostprocess = [a]", "names of their own"),
        ("AXES = {'x': [1]}\ndef preprocess(r): return r", "no function takes the axis 'x'"),
        ("y = 1", "no function preprocess or postprocess"),
    ],
)
def test_a_wrong_file_is_refused_with_the_rule(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(RefusedError, match=says):
        Pipeline(written(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("AXES = {'x': list(range(3))}", "must be written out"),
        ("AXES = {'x': []}", "got 'x'"),
        ("AXES = {'not a name': [1]}", "not a name"),
        ("AXES = {'x': [True]}", "got True"),
        ("AXES = [1]", "got \\[1\\]"),
        ("AXES = {'preprocess_workers': ['all']}", "counts threads"),
        ("def broken(:", "cannot be read"),
    ],
)
def test_wrong_axes_are_told_without_running_the_file(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(WorkloadError, match=says):
        OfferedPipeline.of(written(tmp_path, text))


def test_a_study_file_can_name_only_what_the_pipeline_offers(tmp_path: Path) -> None:
    offered = OfferedPipeline.of(PARTS)
    assert offered.parts == ("decode", "scale", MODEL, "classes", "name")
    assert offered.mistake("decoder", ["slow", "fast"]) is None
    for axis, values, says in (
        ("decodr", ["slow"], "no axis 'decodr'"),
        ("decoder", ["slow", "turbo"], "no value 'turbo'"),
        ("decoder", ["fast", "slow"], "must begin with 'slow'"),
    ):
        wrong = offered.mistake(axis, values)
        assert wrong is not None and says in wrong[0]
    with AXES.restored():
        study = write_study(
            tmp_path,
            workload=f"{IRIS}:ServedInParts",
            space={**SPACE, "pipeline": {"decodr": ["slow"], "decoder": ["fast"]}},
            objectives=[{"metric": "accuracy"}, {"metric": part_latency("crop", "p95")}],
        )
        done = run_paretune("search", study)
    assert done.returncode == 2
    assert "no axis 'decodr'" in done.stderr and "must begin with 'slow'" in done.stderr
    assert "part_crop_latency_p95_ms" in done.stderr and "part_decode_latency" in done.stderr


def test_a_study_space_has_the_pipelines_axes(tmp_path: Path) -> None:
    with AXES.restored():
        study = write_study(
            tmp_path,
            space={
                **SPACE,
                "pipeline": {"decoder": ["slow", "fast"], "preprocess_workers": [1, 2]},
            },
        )
        space = study_space(read_study_file(study), tmp_path, cores=2)
        assert dict(space.baseline.run.options) == {"decoder": "slow", "preprocess_workers": 1}
        assert space.axis("preprocess_workers").is_ordered
        assert not space.axis("decoder").is_ordered
        # Every runtime serves them: no rule forbids them.
        more = Candidate.from_params(space.baseline.params | {"preprocess_workers": 2})
        assert space.reason_against(more) is None and more.run.launch_threads == 2
        assert ThreadLimit(1)(more)
        with pytest.raises(ConfigError, match="is an axis already"):
            changed = write_study(tmp_path, space={**SPACE, "pipeline": {"batch_size": [1]}})
            read_study_file(changed)


def test_a_study_without_axes_keeps_the_keys_of_its_jobs() -> None:
    around = StoredPipeline("pipeline.py", "3" * 64, "4" * 64)
    samples = StoredSamples("test", ("2" * 64,), around)
    run = RunSpec("onnxruntime", "CPUExecutionProvider", 1, 1)
    job = Measure(artifact="1" * 64, run=run, samples=samples)
    assert "axes" not in job.as_dict()["samples"]["pipeline"]
    assert samples.prepared_for(run) == {}
    with_axes = StoredPipeline("pipeline.py", "3" * 64, "4" * 64, (("decoder", "slow"),))
    other = Measure(
        artifact="1" * 64, run=run, samples=StoredSamples("test", ("2" * 64,), with_axes)
    )
    assert Job.from_dict(other.as_dict()) == other and other.key != job.key
    for value, is_prepared in (("slow", False), ("fast", True)):
        served = RunSpec("onnxruntime", "CPU", 1, 1, options=(("decoder", value),))
        assert bool(other.samples.prepared_for(served)) == is_prepared


def test_a_launch_of_an_earlier_version_has_no_parts() -> None:
    times = {"preprocess_ms": [1.0], "postprocess_ms": [2.0], "end_to_end_ms": [4.0]}
    assert EndToEnd.from_dict(times).parts_ms == {}
    whole = EndToEnd.from_dict({**times, "parts_ms": {"decode": [0.5]}})
    assert whole.by_metric["part_decode"] == (0.5,) and whole.by_metric["end_to_end"] == (4.0,)


def test_a_parts_metric_is_a_time_and_no_quality() -> None:
    name = part_latency("decode_all", "p95")
    metric = metric_of(name)
    assert metric.is_latency and metric.interval == "timing" and metric.head == "decode_all p95 ms"
    assert percentile_of(name) == 95 and part_of(name) == "decode_all" and not is_quality(name)
    assert is_quality("accuracy") and part_of("latency_p95_ms") == "" == part_of("accuracy")


def test_answers_are_the_same_within_rounding() -> None:
    assert same([("a", 1.0)], [("a", 1.0001)]) and not same([("a", 1.0)], [("a", 1.1)])
    assert same({"x": np.ones(3)}, {"x": np.ones(3)}) and not same({"x": 1}, {"y": 1})
    assert not same(["a"], ["a", "b"]) and not same("a", "b") and same(None, None)


@pytest.mark.slow
def test_the_bottleneck_of_the_request_is_said(history: History) -> None:
    assert history.baseline is not None
    text = request_text(history.baseline, history)
    assert re.match(r"of [\d.]+ ms from request to answer \(p50\), decode takes [\d.]+ ms", text)
    assert "a faster model saves at most" in text
    assert "the axis decoder changes decode: with fast it takes" in text
    caption = str(frontier_table(history).caption)
    assert f"Trial 0: {text}." in caption


TIMES = {
    "end_to_end_latency_p50_ms": 12.0,
    "preprocess_latency_p50_ms": 9.0,
    "postprocess_latency_p50_ms": 0.1,
    "latency_p50_ms": 2.0,
    "part_decode_latency_p50_ms": 8.0,
    "part_resize_latency_p50_ms": 1.0,
    "part_model_latency_p50_ms": 2.4,
}


def served(make: Make, number: int, decode_ms: float, **options: Value) -> TrialRecord:
    record = make(number, {})
    assert record.measurement
    times = TIMES | {"part_decode_latency_p50_ms": decode_ms, "accuracy": 0.5}
    run = replace(record.candidate.run, intra_op_threads=1, options=tuple(options.items()))
    statistics = {name: Statistic(value) for name, value in times.items()}
    return replace(
        record,
        candidate=replace(record.candidate, run=run),
        outcome=replace(record.measurement, statistics=statistics),
    )


def study_of(records: Sequence[TrialRecord]) -> History:
    return History([Objective("accuracy", "maximize")], records=records)


def test_a_request_has_its_parts_in_order() -> None:
    found = RequestTime.of(TIMES)
    assert found is not None
    assert list(found.parts_ms) == ["decode", "resize", "model", "postprocess"]
    assert found.bottleneck == "decode" and found.share("decode") == pytest.approx(8 / 12)
    earlier = RequestTime.of({name: each for name, each in TIMES.items() if not part_of(name)})
    assert earlier is not None
    assert earlier.parts_ms == {"preprocess": 9.0, "model": 2.0, "postprocess": 0.1}
    assert RequestTime.of({"latency_p50_ms": 1.0}) is None


def test_the_axis_that_changes_a_part_is_found(make_record: Make) -> None:
    records = [
        served(make_record, 0, 8.0, decoder="full", filter="box"),
        served(make_record, 1, 2.0, decoder="scaled", filter="box"),
        served(make_record, 2, 8.3, decoder="full", filter="cubic"),
        served(make_record, 3, 2.1, decoder="scaled", filter="cubic"),
    ]
    (found,) = movers("decode", records[0], study_of(records))
    assert (found.axis, found.value) == ("decoder", "scaled")
    assert found.ratio == pytest.approx(0.25, abs=0.01)
    assert request_text(records[0], study_of(records)) == (
        "of 12 ms from request to answer (p50), decode takes 8 ms (67%), the model 2.4 ms (20%), "
        "resize 1 ms (8%): a faster model saves at most 2.4 ms; the axis decoder changes decode: "
        "with scaled it takes 0.25 × as long"
    )
    # The point may have the fastest value already.
    slow = [served(make_record, 3, 9.0, decoder="scaled", filter="cubic"), *records[:3]]
    slow[1:] = [
        served(make_record, 0, 80.0, decoder="full", filter="box"),
        served(make_record, 1, 9.1, decoder="scaled", filter="box"),
        served(make_record, 2, 83.0, decoder="full", filter="cubic"),
    ]
    told = request_text(slow[0], study_of(slow))
    assert "of decoder, scaled is the value with the fastest decode" in told


def test_an_axis_is_not_named_by_chance(make_record: Make, rng: np.random.Generator) -> None:
    alone = [served(make_record, 0, 8.0, decoder="full", filter="box")]
    # Two axes that were changed together: which one it was is not known.
    together = [*alone, served(make_record, 1, 2.0, decoder="scaled", filter="cubic")]
    for records in (alone, together):
        assert movers("decode", alone[0], study_of(records)) == []
        told = request_text(alone[0], study_of(records))
        assert "no axis is known to change decode" in told
    named = 0
    for _ in range(200):
        noisy = [
            served(
                make_record,
                number,
                float(8 * np.exp(rng.normal(0, 0.1))),
                decoder=str(rng.choice(["full", "scaled"])),
                filter=str(rng.choice(["box", "cubic", "linear"])),
            )
            for number in range(10)
        ]
        named += bool(movers("decode", noisy[0], study_of(noisy)))
    assert named <= 16  # a twentieth of the 200, and what chance adds to that


def test_a_model_that_takes_longest_is_said_to(make_record: Make) -> None:
    record = served(make_record, 0, 1.0)
    assert "the model is the bottleneck" in request_text(record, study_of([record]))


def test_quality_is_forecast_from_the_pipelines_axes_too() -> None:
    values: dict[str, list[Value]] = {
        "student": ["reference"],
        "pruning_ratio": [0.0],
        "quantization": ["fp32", "int8-dynamic"],
        "batch_size": [1, 8],
        "execution_provider": ["CPUExecutionProvider"],
        "intra_op_threads": [1],
        "arithmetic": ["exact", "coarse"],
    }
    with AXES.restored():
        AXES.register(AxisRecord.of_pipeline("arithmetic", ["exact", "coarse"]))
        space = SearchSpace.from_values(values)
        everyone = list(space.candidates())
        known = {
            each: {"accuracy": 0.9 if dict(each.run.options)["arithmetic"] == "exact" else 0.4}
            for each in everyone
            if each.run.batch_size == 1
        }
        forecast = Forecast(space)
        goal = Objective("accuracy", "maximize")
        others = [each for each in everyone if each.run.batch_size == 8]
        expected, _ = forecast.losses(goal, known, forecast.points(others))
    for candidate, loss in zip(others, expected, strict=True):
        is_exact = dict(candidate.run.options)["arithmetic"] == "exact"
        assert -loss == pytest.approx(0.9 if is_exact else 0.4, abs=0.1)


def test_a_study_of_requests_picks_the_one_with_the_quickest_requests(make_record: Make) -> None:
    both = "end_to_end_latency_p95_ms", "latency_p95_ms"
    records = [
        make_record(number, {"accuracy": 0.9, **dict(zip(both, times, strict=True))})
        for number, times in enumerate([(12.0, 2.0), (6.0, 2.4)])
    ]
    wish = Wish(prefer="latency")
    goals = [Objective("accuracy", "maximize"), *(Objective(name, "minimize") for name in both)]
    for objectives, picked in ((goals[:2], 1), (goals, 0)):
        history = History(objectives, records=records)
        assert choose(history, wish).number == picked
