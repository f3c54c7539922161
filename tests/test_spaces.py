import itertools
import os
import subprocess
import sys

import pytest
from conftest import SMALL_SPACE

from paretune.spaces import (
    SCHEMES,
    Axis,
    BuildSpec,
    Candidate,
    Forbid,
    GraphOptimization,
    Quantization,
    RunSpec,
    SearchSpace,
    SpaceError,
    ThreadLimit,
    digest,
)

CANDIDATE = Candidate(
    BuildSpec("small", 0.5, Quantization.INT8_STATIC),
    RunSpec("onnxruntime", "CPUExecutionProvider", 8, 2),
)
# Written down once: a digest that changes silently would orphan everything people have stored.
CANDIDATE_DIGEST = "24d255f31dfb461b025b1bd1716ffe34064461b092947c0832b71c1ee64b7196"


def test_digest_is_the_same_everywhere_and_always() -> None:
    assert CANDIDATE.digest == CANDIDATE_DIGEST


@pytest.mark.parametrize("hash_seed", ["0", "1", "12345"])
def test_digest_does_not_depend_on_the_process(hash_seed: str) -> None:
    code = (
        "from spaces import *;"
        "print(Candidate.from_params({'student': 'small', 'pruning_ratio': 0.5, 'quantization':"
        " 'int8-static', 'batch_size': 8, 'execution_provider': 'CPUExecutionProvider',"
        " 'intra_op_threads': 2}).digest)"
    )
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == CANDIDATE_DIGEST


def test_digest_of_equal_values_is_equal() -> None:
    assert digest({"a": 1, "b": [-0.0]}) == digest({"b": (0.0,), "a": 1})
    assert digest({"a": 1}) != digest({"a": 1.5})
    assert BuildSpec("s", 0, "fp32") == BuildSpec("s", 0.0, Quantization.FP32)


def test_digest_refuses_what_equals_nothing() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        digest(float("nan"))


@pytest.mark.parametrize("level", GraphOptimization)
def test_candidate_round_trips(level: GraphOptimization) -> None:
    candidate = Candidate.from_params(CANDIDATE.params | {"graph_optimization": level.value})
    assert candidate.run.graph_optimization is level
    assert Candidate.from_dict(candidate.as_dict()) == candidate
    assert Candidate.from_params(candidate.params) == candidate
    assert (candidate.digest == CANDIDATE_DIGEST) == (level is GraphOptimization.ALL)
    assert (f"graph {level}" in candidate.label) == (level is not GraphOptimization.ALL)
    assert GraphOptimization.of_level(level.level) is level
    with pytest.raises(SpaceError, match="must be one of 1, 2, 99; got 3"):
        GraphOptimization.of_level(3)


def test_the_baseline_is_optimized_as_far_as_it_goes() -> None:
    values = SMALL_SPACE | {"graph_optimization": ["basic", "all"]}
    assert SearchSpace.from_values(values).baseline.run.graph_optimization is GraphOptimization.ALL
    with pytest.raises(SpaceError, match="must include 'all'"):
        SearchSpace.from_values(SMALL_SPACE | {"graph_optimization": ["basic"]})


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"pruning_ratio": 1.0}, "below 1"),
        ({"pruning_ratio": "half"}, "must be a number"),
        ({"quantization": "int3"}, "must be one of fp32"),
        ({"batch_size": 0}, "at least 1"),
        ({"batch_size": True}, "whole number"),
        ({"intra_op_threads": 1.5}, "whole number"),
        ({"student": ""}, "empty"),
        ({"graph_optimization": "none"}, "must be one of basic, extended, all"),
    ],
)
def test_impossible_candidates_are_refused(change: dict[str, object], says: str) -> None:
    with pytest.raises(SpaceError, match=says):
        Candidate.from_params(CANDIDATE.params | change)


def test_quantization_bits() -> None:
    bits = {s.name: (s.weight_bits, s.activation_bits, s.mode) for s in SCHEMES}
    assert bits["int4-weight"] == (4, 32, "weight")
    assert bits["int8-static"] == (8, 8, "static")
    assert bits["fp16"] == (16, 16, "cast")


def test_axis_sorts_numbers_and_keeps_names() -> None:
    assert Axis("batch_size", (8, 1)).values == (1, 8)
    assert Axis("student", ("b", "a")).values == ("b", "a")
    assert Axis("execution_provider", ("CPUExecutionProvider",)).values == (
        "onnxruntime/CPUExecutionProvider",
    )
    for values in ((), (1, 1)):
        with pytest.raises(SpaceError):
            Axis("batch_size", values)
    with pytest.raises(SpaceError, match="unknown axis"):
        Axis("learning_rate", (1,))


def test_rules_forbid_with_a_reason(space: SearchSpace) -> None:
    rule = Forbid({"student": ["small", "tiny"], "pruning_ratio": "> 0.25"}, "nothing is left")
    ruled = space.with_rules(rule)
    small = Candidate.from_params(ruled.baseline.params | {"student": "small"})
    pruned = Candidate.from_params(small.params | {"pruning_ratio": 0.5})
    assert ruled.reason_against(small) is None
    assert ruled.reason_against(pruned) == "nothing is left"
    left = list(ruled.candidates())
    assert len(left) == space.size - len([c for c in space.candidates() if rule(c)])
    assert all(ruled.reason_against(candidate) is None for candidate in left)


def test_a_python_rule_is_a_function(space: SearchSpace) -> None:
    ruled = space.with_rules(lambda c: "too large" if c.run.batch_size > 1 else None)
    assert {c.run.batch_size for c in ruled.candidates()} == {1}


@pytest.mark.parametrize(
    ("when", "says"),
    [
        ({}, "at least one axis"),
        ({"colour": "red"}, "unknown axis"),
        ({"batch_size": "> many"}, "not a number"),
        ({"student": "> 3"}, "names, not numbers"),
        ({"student": ["a", "> 3"]}, "names, not numbers"),
    ],
)
def test_bad_rules_are_refused(when: dict[str, object], says: str) -> None:
    with pytest.raises(SpaceError, match=says):
        Forbid(when, "because")


def test_more_threads_than_cores_are_forbidden() -> None:
    assert ThreadLimit(2)(CANDIDATE) is None
    reason = ThreadLimit(1)(CANDIDATE)
    assert reason and "2 threads" in reason


def test_baseline_is_exempt_from_rules_and_comes_first(space: SearchSpace) -> None:
    ruled = space.with_rules(Forbid({"student": "reference"}, "too slow for us"))
    assert ruled.reason_against(ruled.baseline) is None
    assert ruled.informative()[0] == ruled.baseline
    assert not ruled.baseline.build.is_compressed
    assert {c.build.student for c in ruled.informative()[1:]} == {"small"}


def test_informative_candidates_are_the_corners(space: SearchSpace) -> None:
    first = space.informative()
    assert len(set(first)) == len(first)
    assert {c.build.quantization.value for c in first} == set(SMALL_SPACE["quantization"])
    assert {c.build.student for c in first} == set(SMALL_SPACE["student"])
    assert max(c.build.pruning_ratio for c in first) == 0.5


def test_space_counts_and_yields_every_combination(space: SearchSpace) -> None:
    every = list(space.candidates())
    assert len(every) == len(set(every)) == space.size == 32
    wanted = set(itertools.product(*SMALL_SPACE.values()))
    got = {
        tuple(str(c.params[name]).removeprefix("onnxruntime/") for name in SMALL_SPACE)
        for c in every
    }
    assert got == {tuple(map(str, values)) for values in wanted}


@pytest.mark.parametrize(
    ("axis", "values"),
    [("student", ["small"]), ("pruning_ratio", [0.5]), ("quantization", ["fp16"])],
)
def test_a_space_without_the_baseline_is_refused(axis: str, values: list[object]) -> None:
    with pytest.raises(SpaceError, match="trial 0 is always the uncompressed baseline"):
        SearchSpace.from_values(SMALL_SPACE | {axis: values})
