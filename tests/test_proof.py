"""Proof of execution: what may run elsewhere than asked for, and what may not."""

import json
from dataclasses import asdict
from typing import Any

import pytest

from paretune.runners.failure import Failure
from paretune.runners.runtimes.launch import Launch
from paretune.runners.runtimes.proof import LaunchProof, ProviderShare, prove

CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"


def node(name: str, operator: str, provider: str, *tensors: tuple[str, int]) -> dict[str, Any]:
    where = {"node": name, "operator": operator, "provider": provider}
    return where | {"ms_per_call": 1.0, "tensors": [list(tensor) for tensor in tensors]}


SHAPES = [
    node("shape", "Shape", CPU, ("int64", 4)),
    node("gather", "Gather", CPU, ("int64", 1), ("int64", 4), ("int64", 1)),
    node("is_one", "Equal", CPU, ("bool", 1), ("int64", 1), ("int64", 1)),
    node("width", "Cast", CPU, ("float", 1), ("int64", 1)),
    node("root", "Sqrt", CPU, ("float", 1), ("float", 1)),
]
ON_CARD = [node("product", "MatMul", CUDA), node("sum", "Add", CUDA), node("out", "Add", CUDA)]


def test_on_a_card_shapes_may_be_computed_on_the_host_and_are_named() -> None:
    shares = prove([*ON_CARD, *SHAPES], CUDA, 0.0, on_card=True)
    assert not isinstance(shares, Failure), shares
    assert shares[CUDA] == ProviderShare(3, 3 / 8, 3 / 8)
    names = "shape (Shape)", "gather (Gather)", "is_one (Equal)", "width (Cast)", "root (Sqrt)"
    assert shares[CPU] == ProviderShare(5, 5 / 8, 5 / 8, names)
    assert ProviderShare(**{**asdict(shares[CPU]), "host_nodes": list(names)}) == shares[CPU]


def test_without_a_card_they_are_a_fallback() -> None:
    failure = prove([*ON_CARD, SHAPES[0]], CUDA, 0.0)
    assert isinstance(failure, Failure) and "shape (Shape, CPUExecutionProvider)" in failure.message


@pytest.mark.parametrize(
    "other",
    [
        node("culprit", "Det", CPU, ("float", 1), ("float", 9)),
        node("culprit", "MatMul", CPU, ("int64", 4), ("int64", 4)),
        node("culprit", "Mul", CPU, ("float", 8), ("float", 8), ("float", 1)),
        node("culprit", "Gather", CPU, ("int64", 512), ("int64", 512), ("int64", 1)),
        node("culprit", "Shape", "OtherExecutionProvider", ("int64", 4)),
    ],
)
def test_everything_else_is_a_failure_with_its_name(other: dict[str, Any]) -> None:
    failure = prove([*ON_CARD, *SHAPES, other], CUDA, 0.0, on_card=True)
    assert isinstance(failure, Failure)
    assert f"1 of 9 nodes (11% of the nodes) ran elsewhere: culprit ({other['operator']}" in (
        failure.message
    )
    assert "shape (Shape" not in failure.message
    assert not isinstance(prove([*ON_CARD, *SHAPES, other], CUDA, 0.12, on_card=True), Failure)


def test_on_a_card_the_share_counts_nodes_because_its_times_are_launch_times() -> None:
    slow = node("culprit", "Det", CPU, ("float", 1)) | {"ms_per_call": 100.0}
    shares = prove([*ON_CARD, slow], CUDA, 0.25, on_card=True)
    assert not isinstance(shares, Failure), shares
    assert shares[CPU].time_share == shares[CPU].node_share == 0.25


def proof(*elsewhere: tuple[str, str, str]) -> LaunchProof:
    counts = {CUDA: 3, **({CPU: len(elsewhere)} if elsewhere else {})}
    return LaunchProof((CUDA, CPU), counts, elsewhere, {"use_tf32": "0"})


def test_a_launch_is_refuted_by_its_own_nodes() -> None:
    shape, culprit = ("shape", "Shape", CPU), ("culprit", "Det", CPU)
    assert proof().refute(CUDA, 0.0) is None
    assert proof(shape).refute(CUDA, 0.0) is None
    failure = proof(shape, culprit).refute(CUDA, 0.0)
    assert failure is not None and failure.stage == "measure"
    assert "1 of 5 nodes (20% of the nodes) ran elsewhere: culprit (Det, CPU" in failure.message
    assert proof(shape, culprit).refute(CUDA, 0.2) is None
    assert proof(shape, culprit).refute(CUDA, 0.1) is not None


def test_a_launch_keeps_its_proof_in_a_record_and_old_records_have_none() -> None:
    numbers = dict.fromkeys(
        ("session_creation_ms", "first_inference_ms", "cpu_share", "cpu_time_ms", "canary_ms"), 1.0
    )
    old = numbers | {
        "warmup_iterations": 3,
        "warmup_steady": True,
        "latency_ms": [1.0],
        "involuntary_switches_per_iteration": 0.0,
        "peak_memory_bytes": 1,
        "end_to_end": None,
        "load": None,
    }
    assert Launch.from_result(old).proof is None
    plain = asdict(proof(("culprit", "Det", CPU)))
    launch = Launch.from_result({**old, "proof": plain, "device_latency_ms": 0.5})
    assert launch.proof == proof(("culprit", "Det", CPU))
    assert Launch.from_result(asdict(launch)) == launch


def test_shares_say_what_each_operator_took() -> None:
    nodes = [node("a", "Conv", CPU) | {"ms_per_call": 3.0}, node("b", "Relu", CPU)]
    nodes += [node("c", "Relu", CPU), node("d", "Conv", CPU) | {"ms_per_call": 5.0}]
    shares = prove(nodes, CPU, 0.0)
    assert not isinstance(shares, Failure)
    assert shares[CPU].operators == (("Conv", 2, 0.8), ("Relu", 2, 0.2))
    # JSON has lists, and records of earlier versions lack them.
    plain = json.loads(json.dumps(asdict(shares[CPU])))
    assert ProviderShare(**plain) == shares[CPU]
    del plain["operators"]
    assert ProviderShare(**plain).operators == ()
