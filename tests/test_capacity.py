"""Capacity: instances as an axis, questions, and the command from a model to its plan."""

import json
import shutil
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from conftest import copy_study, run_paretune
from onnx_models import perceptron
from test_runner_contract import double

from paretune.runners.measure.load.served_model import ServedModel
from paretune.runners.measure.statistic import Statistic
from paretune.runners.runtimes.launched.load.side_by_side import SideBySide, together
from paretune.runners.runtimes.onnxruntime_runner import OnnxRuntimeRunner
from paretune.runners.runtimes.runner import Samples
from paretune.search.deliver.capacity.capacity import find_capacity
from paretune.search.deliver.capacity.capacity_text import capacity_lines
from paretune.search.deliver.capacity.question import CapacityQuestion
from paretune.search.deliver.capacity.serving_plan import ServingPlan
from paretune.search.study.serving.capacity import capacity
from paretune.spaces import Candidate, RunSpec, SearchSpace, SpaceError, StudyError, ThreadLimit

RUN = RunSpec("onnxruntime", "CPUExecutionProvider", 1, 2)
SPACE = {
    "student": ["reference"],
    "pruning_ratio": [0.0],
    "quantization": ["fp32"],
    "batch_size": [1],
    "execution_provider": ["CPUExecutionProvider"],
    "intra_op_threads": [1, 2],
    "instances": [1, 2],
}


def test_instances_are_an_axis_that_a_space_may_have() -> None:
    space = SearchSpace.from_values(SPACE, [ThreadLimit(2)])
    found = [(c.run.instances, c.run.intra_op_threads) for c in space.candidates()]
    assert found == [(1, 1), (2, 1), (1, 2)]
    base = space.baseline
    assert base.run.instances == 1 and base.params["instances"] == 1
    four = Candidate.from_params({**base.params, "instances": 2, "intra_op_threads": 2})
    reason = space.reason_against(four)
    assert reason == "2 instances × 2 threads on 2 cores would only wait for each other"


def test_a_space_without_instances_is_as_it_was() -> None:
    space = SearchSpace.from_values({k: v for k, v in SPACE.items() if k != "instances"})
    assert "instances" not in space.baseline.params
    assert space.baseline.run.with_instances(1) == space.baseline.run


def test_instances_change_no_answers() -> None:
    run = replace(RUN, options=(("input_shapes", "fixed"), ("instances", 2)))
    assert run.threads == 4 and run.alone.threads == 2
    assert run.answering == run.alone.answering == {"input_shapes": "fixed"}
    with pytest.raises(SpaceError, match="instances must be a whole number of at least 1; got 0"):
        RUN.with_instances(0)


def test_instances_are_called_at_the_same_time() -> None:
    inside, most, lock = 0, 0, threading.Lock()

    def call(turn: int) -> float:
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        time.sleep(0.001)
        with lock:
            inside -= 1
        return 1.0 + turn % 2

    both = SideBySide([call, call, call])
    assert both.warm_up(0.1)["iterations"] >= 9
    job: Any = {"min_iterations": 30, "max_iterations": 1000, "min_seconds": 0.0}
    times = both.steady(job)
    assert len(times) >= 30 and set(times) == {1.0, 2.0}
    assert most == 3 and inside == 0


def test_an_error_of_one_instance_ends_all() -> None:
    def work(place: int, stop: threading.Event) -> None:
        if place == 1:
            raise ValueError("broken")
        assert stop.wait(30)

    with pytest.raises(ValueError, match="broken"):
        together(work, 3)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"max_latency_ms": 0.0}, "budget must be above 0 ms; got 0"),
        ({"launches": 1}, "at least 2 launches; got 1"),
        ({"spike": 0.5}, "at least 1 times the usual rate; got 0.5"),
        ({"percentile": 100}, "between 1 and 99; got 100"),
    ],
)
def test_questions_with_mistakes(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(StudyError, match=said):
        CapacityQuestion(**{"max_latency_ms": 5.0, **wrong})


def test_ways_to_use_the_cores() -> None:
    question = CapacityQuestion(5.0, cores=6)
    assert {(1, 1), (6, 1), (3, 2), (1, 4), (1, 6)} <= {*question.ways}
    assert max(n * t for n, t in question.ways) == 6
    assert replace(question, threads=[2], instances=[1, 8]).ways == [(1, 2)]
    with pytest.raises(StudyError, match="at most 6, the cores of this machine; got"):
        _ = replace(question, instances=[8]).ways


@pytest.fixture
def small(tmp_path: Path) -> ServedModel:
    model, inputs = tmp_path / "model.onnx", tmp_path / "input.npy"
    onnx.save(perceptron(np.random.default_rng(0)), model)
    np.save(inputs, np.random.default_rng(0).random((64, 32), dtype=np.float32))
    runner = OnnxRuntimeRunner()
    run = RunSpec("onnxruntime", "CPUExecutionProvider", 1, 1)
    return ServedModel(runner, model, run, Samples([inputs]), idle_wait_s=0.0)


@pytest.mark.slow
def test_a_capacity_is_predicted_and_told(small: ServedModel, tmp_path: Path) -> None:
    question = CapacityQuestion(
        200.0, cores=1, sizes=[1], checks=False, launches=2, rate_per_s=1e6, price_per_hour=0.5
    )
    lines: list[str] = []
    found = find_capacity(small, question, {"processor": "this"}, lines.append)
    assert any("batch 1" in line for line in lines)
    plan = found.plan
    assert {way.batch_size for way in found.ways} == {1}
    assert not plan.is_measured and plan.cores == 1
    predicted, capacity_per_s = found.predicted, plan.capacity_per_s
    assert 0 < predicted.endless_share <= 1 and capacity_per_s.value > 100
    assert capacity_per_s == predicted.per_s.scaled(predicted.endless_share)
    assert plan.latency_ms[50] <= plan.latency_ms[95] <= plan.latency_ms[99]
    assert plan.start_ms > 50 and plan.memory_bytes > 1e7
    assert found.replicas == plan.replicas(1e6) > 1
    assert found.price_per_hour == pytest.approx(0.5 * found.replicas)
    assert found.headroom >= 1 and found.knee in found.curve
    text = "\n".join(capacity_lines(found))
    assert "predicted, not checked" in text and f"1e+06 per second: {found.replicas}" in text
    json.dumps(found.as_dict())
    plan.save(tmp_path)
    assert ServingPlan.of_bundle(tmp_path) == plan


def test_a_budget_that_nothing_keeps(small: ServedModel) -> None:
    question = CapacityQuestion(1e-4, cores=1, sizes=[1], checks=False, launches=2)
    with pytest.raises(StudyError, match=r"no way to serve this model keeps p99 ≤ 0\.0001 ms"):
        find_capacity(small, question, {})


def test_what_has_no_capacity(tmp_path: Path) -> None:
    done = run_paretune(
        "capacity", double(tmp_path / "m.onnx"), "--max-p99-ms", "5", "--trial", "1"
    )
    assert done.returncode == 1 and "only a study has trials" in done.stderr
    with pytest.raises(StudyError, match="cannot read"):
        capacity(tmp_path, max_latency_ms=5.0)


@pytest.fixture(scope="module")
def picked(searched_iris: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("picked")
    study = copy_study(searched_iris, tmp_path_factory.mktemp("capacity") / "study")
    done = run_paretune("pick", study, "--out", folder, "--no-measure")
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.mark.slow
def test_a_bundle_gets_a_measured_plan(picked: Path, tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(picked, tmp_path / "bundle"))
    options = "--max-p99-ms 50 --batch 1,4 --launches 2 --seconds 1 --spike 2"
    done = run_paretune("capacity", bundle, *options.split())
    assert done.returncode == 0, done.stdout + done.stderr
    plan = ServingPlan.of_bundle(bundle)
    assert plan is not None and plan.is_measured
    assert isinstance(plan.capacity_per_s, Statistic) and plan.capacity_per_s.value > 0
    assert "serving.json" in done.stdout and "predicted from times of calls" in done.stdout
    assert "one by one: p99" in done.stdout and "measured" in done.stdout
