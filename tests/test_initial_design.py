"""The first trials of a search: the baseline, cheap candidates, all ends of the run axes."""

from conftest import SMALL_SPACE

from paretune.search.propose.initial_design import first_candidates, run_ends
from paretune.spaces import Forbid, SearchSpace

LARGE = {
    **SMALL_SPACE,
    "student": ["reference", "middle", "small"],
    "pruning_ratio": [0.0, 0.25, 0.5],
    "batch_size": [1, 4, 32],
    "intra_op_threads": [1, 2, 4],
}
TARGET = "onnxruntime/CPUExecutionProvider"


def ends(space: SearchSpace, batch_size: int | None = None) -> list[tuple[int, int]]:
    """Return threads and batch size of all run settings."""
    ways = run_ends(space, batch_size)
    assert {way["execution_provider"] for way in ways} == {TARGET}
    return [(int(way["intra_op_threads"]), int(way["batch_size"])) for way in ways]


def test_the_ends_are_run_in_all_combinations() -> None:
    space = SearchSpace.from_values(LARGE)
    assert sorted(ends(space)) == [(1, 1), (1, 32), (4, 1), (4, 32)]


def test_of_one_batch_size_only_its_ways_to_run_are_left() -> None:
    space = SearchSpace.from_values(LARGE)
    assert {batch for _, batch in ends(space, 4)} == {4}
    assert {threads for threads, _ in ends(space, 4)} == {1, 4}


def test_an_axis_of_one_value_has_one_end() -> None:
    space = SearchSpace.from_values({**LARGE, "intra_op_threads": [2], "batch_size": [8]})
    assert ends(space) == [(2, 8)]


def test_the_baseline_is_first_and_little_has_to_be_trained() -> None:
    space = SearchSpace.from_values(LARGE)
    found = first_candidates(space, run_ends(space))
    assert found[0] == space.baseline
    assert len(set(found)) == len(found)
    # One training at most: the last student's. Each quantization is seen once.
    assert {c.build.student for c in found} == {"reference", "small"}
    assert {c.build.pruning_ratio for c in found} == {0.0}
    schemes = [c.build.quantization.value for c in found if c.build.student == "reference"]
    assert sorted(schemes) == sorted(SMALL_SPACE["quantization"])
    assert all(space.reason_against(c) is None for c in found)


def test_from_the_third_on_each_is_run_another_way() -> None:
    space = SearchSpace.from_values(LARGE)
    ways = run_ends(space)
    found = first_candidates(space, ways)
    assert found[1].run == space.baseline.run  # what int8 gains is seen without anything else
    for number, candidate in enumerate(found[2:]):
        way = ways[number % len(ways)]
        assert {name: candidate.params[name] for name in way} == way


def test_every_back_end_is_seen_in_fp32_and_in_what_is_good_in_general() -> None:
    targets = [TARGET, "openvino/CPU"]
    schemes = ["fp32", "int8-static", "bf16", "int8-dynamic", "openvino-int8-transformer"]
    rules = [
        Forbid({"execution_provider": TARGET, "quantization": ["bf16", schemes[-1]]}, "no"),
    ]
    values = {**LARGE, "quantization": schemes, "execution_provider": targets}
    space = SearchSpace.from_values({**values, "student": ["reference"]}, rules)
    found = first_candidates(space, run_ends(space))
    seen = [(c.build.quantization.value, c.run.target) for c in found]
    assert seen == [
        ("fp32", TARGET),
        ("fp32", "openvino/CPU"),
        ("int8-static", TARGET),
        ("int8-static", "openvino/CPU"),
        ("bf16", "openvino/CPU"),
        ("openvino-int8-transformer", "openvino/CPU"),
        ("int8-dynamic", TARGET),
    ]
    plain = [space.baseline.run, *(c.run for c in found[1:3])]
    assert {(run.batch_size, run.intra_op_threads) for run in plain} == {(1, 1)}
    assert {c.run.batch_size for c in found[3:]} == {1, 32}


def test_sizes_that_a_back_end_can_fix_are_fixed_from_the_first_quantized_file_on() -> None:
    targets = [TARGET, "openvino/CPU"]
    values = {"execution_provider": targets, "input_shapes": ["free", "fixed"], "batch_size": [1]}
    rule = Forbid({"execution_provider": TARGET, "input_shapes": "fixed"}, "it has no such axis")
    space = SearchSpace.from_values({**LARGE, **values, "student": ["reference"]}, [rule])
    found = first_candidates(space, run_ends(space))
    shapes = [(c.run.target, dict(c.run.options)["input_shapes"]) for c in found]
    assert shapes[:4] == [
        (TARGET, "free"),
        ("openvino/CPU", "free"),
        (TARGET, "free"),
        ("openvino/CPU", "fixed"),
    ]


def test_only_the_batch_size_of_interest_is_run_but_the_baseline_keeps_its_own() -> None:
    space = SearchSpace.from_values(LARGE)
    found = first_candidates(space, run_ends(space, 4), 4)
    assert found[0] == space.baseline and found[0].run.batch_size == 1
    assert {c.run.batch_size for c in found[1:]} == {4}


def test_what_the_rules_forbid_is_run_as_the_baseline_is() -> None:
    rule = Forbid({"intra_op_threads": 4}, "not here")
    space = SearchSpace.from_values(LARGE, [rule])
    found = first_candidates(space, run_ends(space))
    assert len(found) == len(first_candidates(SearchSpace.from_values(LARGE), run_ends(space)))
    assert all(space.reason_against(c) is None for c in found)
    assert {c.run.intra_op_threads for c in found} == {1}
