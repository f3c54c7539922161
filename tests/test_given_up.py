"""Combinations that keep failing for one reason are found, reported once, and dropped."""

from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
from conftest import IRIS, SMALL_SPACE, run_paretune, write_study

from paretune.runners.execute.executor import Site
from paretune.runners.execute.job import Build, Missing
from paretune.runners.failure import Failure, FailureKind
from paretune.runners.measure.measurement import Measurement
from paretune.runners.measure.statistic import Statistic
from paretune.runners.measure.stored_samples import StoredSamples
from paretune.runners.workload.recipe import Recipe
from paretune.search.propose.cost import CostModel
from paretune.search.propose.exclusions import GivenUp
from paretune.search.propose.frontier_strategy import FrontierStrategy
from paretune.search.propose.gate import Gate
from paretune.search.propose.strategy import ExhaustiveStrategy, OptunaStrategy, Strategy
from paretune.search.record.history import History
from paretune.search.record.objective import default_objectives
from paretune.search.record.trial import TrialRecord
from paretune.search.record.unfinished import Unfinished
from paretune.search.run.attempt import Attempt
from paretune.search.study.open_study import load_history
from paretune.spaces import Candidate, Forbid, SearchSpace

GOALS = default_objectives("accuracy")
BROKEN = Failure("quantize", FailureKind.CRASH, "no kernel for layer 7")


def candidate(space: SearchSpace, **values: object) -> Candidate:
    return Candidate.from_params({**space.baseline.params, **values})  # type: ignore[dict-item]


def add(history: History, tried: Candidate, failure: Failure | None) -> None:
    number = len(history.records)
    metrics = {"accuracy": 0.9, "latency_p95_ms": 1.0 + number, "throughput_samples_per_s": 9.0}
    measured = Measurement(
        run=tried.run,
        artifact="",
        statistics={name: Statistic(value) for name, value in metrics.items()},
        launches=2,
        contaminated_launches=0,
        is_steady=True,
        is_resolved=True,
        host_was_idle=True,
        canary_ms=0.1,
        providers={},
        samples="",
    )
    history.add(TrialRecord(number, tried, failure or measured, 0.0, 1.0))


def test_a_quantization_that_always_fails_is_given_up_whatever_is_built(space: SearchSpace) -> None:
    history = History(GOALS)
    rule = GivenUp(history, space, least=3)
    add(history, space.baseline, None)
    for student, ratio in (("reference", 0.0), ("small", 0.0), ("reference", 0.5)):
        tried = candidate(space, student=student, pruning_ratio=ratio, quantization="int8-static")
        assert rule(tried) is None
        add(history, tried, BROKEN)
    reason = rule(candidate(space, student="small", quantization="int8-static", batch_size=8))
    assert reason is not None and "quantization int8-static" in reason and "no kernel" in reason
    assert rule(candidate(space, student="small", quantization="int8-dynamic")) is None


def test_what_worked_once_for_another_build_is_not_given_up(space: SearchSpace) -> None:
    history = History(GOALS)
    rule = GivenUp(history, space, least=3)
    add(history, candidate(space, student="small", quantization="int8-static"), None)
    for student, ratio in (("reference", 0.0), ("small", 0.5), ("reference", 0.5)):
        tried = candidate(space, student=student, pruning_ratio=ratio, quantization="int8-static")
        add(history, tried, BROKEN)
    assert rule(candidate(space, quantization="int8-static", batch_size=8)) is None


def test_what_worked_once_or_may_have_another_reason_is_not_given_up(space: SearchSpace) -> None:
    history = History(GOALS)
    rule = GivenUp(history, space, least=3)
    for batch in (1, 8):
        add(history, candidate(space, quantization="int8-static", batch_size=batch), BROKEN)
    other = Failure("quantize", FailureKind.TIMEOUT, "no kernel for layer 7")
    add(history, candidate(space, pruning_ratio=0.5, quantization="int8-static"), other)
    assert not rule.parts and rule(candidate(space, quantization="int8-static")) is None
    # Three for one cause, but all of the same student and ratio: they may be to blame as well.
    add(history, candidate(space, quantization="int8-static", intra_op_threads=1), BROKEN)
    assert rule(candidate(space, student="small", quantization="int8-static")) is None
    for student, ratio in (("small", 0.0), ("small", 0.5)):
        tried = candidate(space, student=student, pruning_ratio=ratio, quantization="int8-static")
        add(history, tried, None)
    assert rule(candidate(space, quantization="int8-static")) is None


def test_what_the_rules_let_not_differ_is_no_excuse() -> None:
    targets = ["onnxruntime/CPUExecutionProvider", "openvino/CPU"]
    values = SMALL_SPACE | {"execution_provider": targets, "graph_optimization": ["all", "basic"]}
    rule = Forbid({"execution_provider": "openvino/CPU", "graph_optimization": "basic"}, "no such")
    broken = {"execution_provider": "openvino/CPU", "quantization": "int8-static"}
    failure = replace(BROKEN, stage="measure")
    for rules, is_given_up in (([rule], True), ([], False)):
        space = SearchSpace.from_values(values, rules)
        history = History(GOALS)
        learned = GivenUp(history, space, least=3)
        add(history, candidate(space, **broken | {"execution_provider": targets[0]}), None)
        add(history, candidate(space, **broken | {"quantization": "fp32"}), None)
        for student, ratio in (("reference", 0.0), ("small", 0.0), ("reference", 0.5)):
            tried = candidate(space, **broken, student=student, pruning_ratio=ratio)
            add(history, tried, failure)
        reason = learned(candidate(space, **broken, batch_size=8))
        assert (reason is not None) == is_given_up


@pytest.mark.parametrize("kind", ["frontier", "random", "exhaustive"])
def test_no_strategy_proposes_what_is_given_up(space: SearchSpace, kind: str) -> None:
    history = History(GOALS)
    ruled = space.with_rules(GivenUp(history, space, least=3))
    strategy: Strategy
    if kind == "frontier":
        strategy = FrontierStrategy(ruled, GOALS)
    elif kind == "random":
        strategy = OptunaStrategy(ruled, GOALS, sampler="random")
    else:
        strategy = ExhaustiveStrategy(ruled)
    add(history, space.baseline, None)
    strategy.observe(space.baseline, history.records[0].metrics)
    for student, ratio in product(("reference", "small"), (0.0, 0.5)):
        tried = candidate(space, student=student, pruning_ratio=ratio, quantization="int8-weight")
        add(history, tried, BROKEN)
        strategy.observe(tried, None)
    count = 0
    while (proposed := strategy.propose()) is not None:
        assert proposed.build.quantization.value != "int8-weight"
        add(history, proposed, None)
        strategy.observe(proposed, history.records[-1].metrics)
        count += 1
    assert count == 23


@pytest.mark.slow
def test_a_student_that_cannot_be_pruned_is_reported_once_and_left_alone(tmp_path: Path) -> None:
    budget = {"trials": 32, "give_up_after": 2}
    study = write_study(
        tmp_path,
        workload=f"{IRIS}:Unprunable",
        budget=budget,
        strategy={"sampler": "exhaustive"},
        tracking=False,
    )
    done = run_paretune("search", study)
    assert done.returncode == 0, done.stdout + done.stderr
    told = [line for line in done.stdout.splitlines() if "no longer tried" in line]
    assert len(told) == 2
    assert "student reference and pruning_ratio 0.5: all 3 trials failed" in told[0]
    assert "no longer tried: pruning_ratio 0.5: all 4 trials failed" in told[1]
    history = load_history(study)
    assert len(history.measured) == 16 and len(history.failed) == 4


def test_a_trial_that_ends_the_study_repeatedly_is_a_failure(space: SearchSpace) -> None:
    history = History(GOALS)
    gate, cost = Gate(history), CostModel(history, Recipe())
    site = Site(("onnx",), "device:cpu", StoredSamples("validation", ()))
    twice, thrice = (
        Attempt(Unfinished(7, space.baseline, deaths), site, gate, cost).jobs() for deaths in (2, 3)
    )
    assert next(twice)  # it is tried once more
    with pytest.raises(StopIteration) as end:
        next(thrice)
    failure = end.value.value.failure
    assert failure.kind is FailureKind.CRASH and "died 3 times" in failure.message


def test_layers_in_fp32_are_not_chosen_on_an_untrained_skeleton(space: SearchSpace) -> None:
    """Its layers would be others, and so would its latency (C28)."""
    history = History(GOALS)
    add(history, space.baseline, None)
    site = Site(("onnx",), "device:cpu", StoredSamples("validation", ()))
    plain = candidate(space, student="small", quantization="int8-static")
    mixed = replace(plain, build=replace(plain.build, fp32_layer_share=0.25))
    kinds = []
    for each in (plain, mixed):
        gate, cost = Gate(history), CostModel(history, Recipe())
        attempt = Attempt(Unfinished(1, each, 0), site, gate, cost, latency_first="always")
        kinds.append(type(next(attempt.jobs())))
    assert kinds == [Missing, Build]  # the first asks what is missing, to look ahead


def test_deaths_of_the_study_are_not_blamed_on_a_part_of_the_space(space: SearchSpace) -> None:
    died = Failure("study", FailureKind.CRASH, "the study's process died 3 times")
    for failure, is_given_up in ((died, False), (BROKEN, True)):
        history = History(GOALS)
        rule = GivenUp(history, space, least=3)
        add(history, space.baseline, None)
        for student, ratio in (("reference", 0.0), ("small", 0.0), ("reference", 0.5)):
            values = {"student": student, "pruning_ratio": ratio, "quantization": "int8-static"}
            add(history, candidate(space, **values), failure)
        rule.learn()
        assert bool(rule.parts) == is_given_up
