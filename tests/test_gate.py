"""The gate: which candidates are worth their training."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from paretune.runners.measure.statistic import Statistic
from paretune.runners.workload.recipe import Recipe
from paretune.search.propose.cost import CostModel
from paretune.search.propose.gate import Gate
from paretune.search.record.history import History
from paretune.search.record.objective import Constraint, Objective
from paretune.search.record.trial import TrialRecord
from paretune.spaces import BuildSpec, Candidate, Quantization

OBJECTIVES = [Objective("accuracy", "maximize"), Objective("latency_p95_ms", "minimize")]
Make = Callable[..., TrialRecord]


@pytest.fixture
def trial(make_record: Make) -> Make:
    def make(
        number: int,
        build: tuple[str, float, str],
        accuracy: float,
        p95_ms: float,
        stage_quality: Mapping[str, float] | None = None,
        **seconds: float,
    ) -> TrialRecord:
        record = make_record(number, {"accuracy": accuracy, "latency_p95_ms": p95_ms})
        spec = BuildSpec(build[0], build[1], Quantization(build[2]))
        return replace(
            record,
            candidate=Candidate(spec, record.candidate.run),
            stage_quality=stage_quality or {},
            stage_seconds={name.replace("_", "-"): value for name, value in seconds.items()},
        )

    return make


def judge(gate: Gate, trial: Make, build: tuple[str, float, str], p95: Statistic, **given: float):
    record = trial(99, build, 0.0, p95.value)
    assert record.measurement is not None
    statistics = {**record.measurement.statistics, "latency_p95_ms": p95}
    statistics.pop("accuracy")
    skeleton = replace(record.measurement, statistics=statistics)
    quality = {name.replace("_", "-"): value for name, value in given.items()}
    before = "distill" if quality else "distill-short"
    return gate.judge(record.candidate, skeleton, before, quality)


def test_nothing_is_known_without_a_baseline(trial: Make) -> None:
    gate = Gate(History(OBJECTIVES))
    assert gate.quality_bound(BuildSpec("small", 0.0, Quantization.FP32)) is None
    assert judge(gate, trial, ("small", 0.0, "fp32"), Statistic(9.0)) is None


def test_a_candidate_slower_than_the_baseline_is_not_trained(trial: Make) -> None:
    history = History(OBJECTIVES, records=[trial(0, ("reference", 0.0, "fp32"), 0.9, 5.0)])
    gate = Gate(history)
    # At most 1 % better than the reference: not dominated by it, however slow it is.
    assert gate.quality_bound(BuildSpec("small", 0.0, Quantization.FP32)) == pytest.approx(0.909)
    assert judge(gate, trial, ("small", 0.0, "fp32"), Statistic(9.0)) is None
    history.add(trial(1, ("large", 0.0, "fp32"), 0.95, 4.0))
    # The second student exceeded the reference by 0.05: the next one may, too.
    assert gate.quality_bound(BuildSpec("small", 0.0, Quantization.FP32)) == pytest.approx(0.95)
    skip = judge(gate, trial, ("small", 0.0, "fp32"), Statistic(4.5))
    assert skip is not None and "trial 1 is no worse" in skip.reason
    assert skip.before == "distill-short"
    assert judge(gate, trial, ("small", 0.0, "fp32"), Statistic(3.9)) is None


def test_the_favourable_end_of_the_interval_counts(trial: Make) -> None:
    records = [
        trial(0, ("reference", 0.0, "fp32"), 0.9, 5.0),
        trial(1, ("large", 0.0, "fp32"), 0.92, 4.0),
    ]
    gate = Gate(History(OBJECTIVES, records=records))
    wide, narrow = Statistic(4.5, 3.5, 5.5), Statistic(4.5, 4.2, 4.8)
    assert judge(gate, trial, ("small", 0.0, "fp32"), Statistic(4.5, -1.0, 10.0)) is None
    assert judge(gate, trial, ("small", 0.0, "fp32"), wide) is None
    assert judge(gate, trial, ("small", 0.0, "fp32"), narrow) is not None


def test_a_short_training_bounds_the_rest_by_the_gains_seen(trial: Make) -> None:
    history = History(OBJECTIVES, records=[trial(0, ("reference", 0.0, "fp32"), 0.9, 5.0)])
    gate = Gate(history)
    for number, (short, whole) in enumerate([(0.5, 0.7), (0.6, 0.85), (0.7, 0.8)], start=1):
        assert judge(gate, trial, ("s", 0.0, "fp32"), Statistic(4.9), distill_short=0.1) is None
        known = {"distill-short": short, "distill": whole}
        history.add(trial(number, (f"s{number}", 0.0, "fp32"), whole, 4.0, known, distill=9.0))
    assert gate.quality_bound(
        BuildSpec("s", 0.0, Quantization.FP32), "distill", {"distill-short": 0.1}
    ) == pytest.approx(0.1 + 0.25 + 0.009)
    skip = judge(gate, trial, ("s", 0.0, "fp32"), Statistic(4.9), distill_short=0.1)
    assert skip is not None and skip.before == "distill"
    assert judge(gate, trial, ("s", 0.0, "fp32"), Statistic(4.9), distill_short=0.65) is None


def test_more_compression_is_not_expected_to_be_better(trial: Make) -> None:
    records = [
        trial(0, ("reference", 0.0, "fp32"), 0.9, 5.0),
        trial(1, ("small", 0.25, "fp32"), 0.6, 2.0),
    ]
    gate = Gate(History(OBJECTIVES, records=records))

    def bound(student: str, ratio: float, quantization: str) -> float | None:
        return gate.quality_bound(BuildSpec(student, ratio, Quantization(quantization)))

    assert bound("small", 0.5, "int8-static") == pytest.approx(0.609)
    assert bound("small", 0.0, "int8-static") == pytest.approx(0.909)
    assert bound("large", 0.5, "fp32") == pytest.approx(0.909)


def test_few_samples_leave_room_above_a_measured_quality(trial: Make) -> None:
    history = History(OBJECTIVES, records=[trial(0, ("reference", 0.0, "fp32"), 1.0, 5.0)])
    seen = trial(1, ("small", 0.25, "fp32"), 0.967, 2.0)
    assert seen.measurement is not None
    spread = {"accuracy": Statistic(0.967, 0.9, 1.0)}
    statistics = {**seen.measurement.statistics, **spread}
    history.add(replace(seen, outcome=replace(seen.measurement, statistics=statistics)))
    bound = Gate(history).quality_bound(BuildSpec("small", 0.5, Quantization.FP32))
    assert bound == pytest.approx(1.0 + 0.01)


def test_a_broken_limit_is_known_before_training(trial: Make) -> None:
    limits = [Constraint("latency_p95_ms", maximum=2.0)]
    records = [trial(0, ("reference", 0.0, "fp32"), 0.9, 5.0)]
    gate = Gate(History(OBJECTIVES, limits, records=records))
    skip = judge(gate, trial, ("small", 0.0, "fp32"), Statistic(2.5, 2.4, 2.6))
    assert skip is not None and "breaks its limit" in skip.reason
    assert judge(gate, trial, ("small", 0.0, "fp32"), Statistic(2.5, 1.9, 3.1)) is None


def test_costs_are_those_of_the_stages_still_missing(trial: Make) -> None:
    lineage = dict.fromkeys(("reference", "distill-short", "distill", "export"), "0" * 64)
    seconds = {"reference": 60.0, "distill_short": 10.0, "distill": 30.0, "export": 2.0}
    record = trial(0, ("small", 0.0, "fp32"), 0.9, 5.0, None, **seconds, measure=3.0)
    cost = CostModel(History(OBJECTIVES, records=[replace(record, lineage=lineage)]), Recipe())

    def seconds_of(student: str, ratio: float, quantization: str) -> float:
        build = BuildSpec(student, ratio, Quantization(quantization))
        return cost.seconds(Candidate(build, record.candidate.run))

    assert seconds_of("small", 0.0, "fp32") == pytest.approx(3.0)
    assert seconds_of("large", 0.0, "fp32") == pytest.approx(10 + 30 + 2 + 3)
    assert seconds_of("small", 0.0, "int8-static") > seconds_of("small", 0.0, "fp32")
    assert seconds_of("large", 0.5, "fp32") > seconds_of("large", 0.0, "fp32")


def test_a_stage_whose_output_left_the_store_costs_again(trial: Make) -> None:
    lineage = {"reference": "r" * 64, "distill": "d" * 64, "export": "e" * 64}
    seconds = {"reference": 60.0, "distill": 30.0, "export": 2.0}
    record = trial(0, ("small", 0.0, "fp32"), 0.9, 5.0, None, **seconds, measure=3.0)
    history = History(OBJECTIVES, records=[replace(record, lineage=lineage)])
    cost = CostModel(history, Recipe(short_share=0.0))
    candidate = record.candidate

    def left(*digests: str) -> float:
        cost.note_stored(digests)
        return cost.seconds(candidate)

    assert left("r" * 64, "d" * 64, "e" * 64) == pytest.approx(3.0)
    assert left("r" * 64, "d" * 64) == pytest.approx(3.0 + 2.0)
    # Nothing needs what came before the last output that is there.
    assert left("e" * 64) == pytest.approx(3.0)
    assert left("r" * 64) == pytest.approx(3.0 + 2.0 + 30.0)
    # A later trial that has made it again has it.
    history.add(replace(record, number=1, lineage=lineage))
    assert cost.seconds(candidate) == pytest.approx(3.0)
