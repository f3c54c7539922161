import itertools
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from paretune.runners.failure import Failure, FailureKind
from paretune.runners.measure.measurement import Measurement
from paretune.runners.measure.statistic import Statistic
from paretune.search.deliver.choice import choose, knee, rank, wished_limits
from paretune.search.deliver.fresh_check import first_that_keeps
from paretune.search.record.confirmed import Confirmed
from paretune.search.record.history import History
from paretune.search.record.objective import Constraint, default_objectives
from paretune.search.record.trial import TrialRecord
from paretune.search.record.wish import Wish
from paretune.spaces import Quantization, StudyError

Make = Callable[..., TrialRecord]


@pytest.fixture
def history(make_record: Make, rng: np.random.Generator) -> History:
    history = History(default_objectives("accuracy"))
    for number in range(60):
        history.add(
            make_record(
                number,
                {
                    "accuracy": float(rng.integers(80, 100)) / 100,
                    "latency_p95_ms": float(rng.random()) * 10,
                    "latency_p50_ms": float(rng.random()) * 5,
                    "throughput_samples_per_s": float(rng.random()) * 100,
                },
                batch_size=int(rng.choice([1, 8])),
            )
        )
    history.add(make_record(60, None))
    return history


@pytest.mark.parametrize(
    ("budget", "percentile", "batch_size"),
    list(itertools.product([1.0, 3.0, 9.0], ["p50", "p95"], [None, 8])),
)
def test_the_most_accurate_that_fits_by_brute_force(
    history: History, budget: float, percentile: str, batch_size: int | None
) -> None:
    picked = choose(history, Wish(budget, percentile, batch_size=batch_size))
    metric = f"latency_{percentile}_ms"
    fits = [
        record
        for record in history.measured
        if record.metrics[metric] <= budget
        and batch_size in (None, record.candidate.run.batch_size)
    ]
    assert picked in fits
    assert picked.metrics["accuracy"] == max(r.metrics["accuracy"] for r in fits)
    equals = [r for r in fits if r.metrics["accuracy"] == picked.metrics["accuracy"]]
    assert picked.metrics[metric] == min(r.metrics[metric] for r in equals)


def test_without_a_budget_the_most_accurate(history: History) -> None:
    best = max(record.metrics["accuracy"] for record in history.measured)
    assert choose(history, Wish()).metrics["accuracy"] == best


def test_nothing_fits_says_how_far_and_what_to_relax(history: History) -> None:
    with pytest.raises(StudyError) as caught:
        choose(history, Wish(max_latency_ms=0.001, min_quality=0.85))
    message = str(caught.value)
    assert "latency_p95_ms: limit 0.001, the best is" in message
    assert "within the other limits (trial " in message


def test_a_refusal_names_the_end_of_the_interval_that_counts(make_record: Make) -> None:
    record, history = make_record(0, {"accuracy": 0.9}), History(default_objectives("accuracy"))
    assert record.measurement is not None
    statistics = {**record.measurement.statistics, "latency_p95_ms": Statistic(2.0, 1.0, 4.0)}
    history.add(replace(record, outcome=replace(record.measurement, statistics=statistics)))
    wide = r"limit 3, the best is 2 \(up to 4: the end of the interval counts\) \(trial 0"
    with pytest.raises(StudyError, match=wide):
        choose(history, Wish(max_latency_ms=3.0))


def test_two_impossible_limits_are_each_reported_alone(history: History) -> None:
    with pytest.raises(StudyError) as caught:
        choose(history, Wish(max_latency_ms=0.001, min_quality=1.5))
    message = str(caught.value)
    assert message.count("without other limits (trial ") == 2
    assert "accuracy: limit 1.5000, the best is" in message


def test_an_unmeasured_batch_size_names_those_measured(history: History) -> None:
    with pytest.raises(StudyError, match=r"there are \[1, 8\]"):
        choose(history, Wish(batch_size=3))


def test_a_studys_own_constraints_hold(history: History) -> None:
    limited = History(
        history.objectives, [Constraint("accuracy", maximum=0.9)], records=history.records
    )
    assert choose(limited, Wish()).metrics["accuracy"] <= 0.9


def test_an_empty_study_has_nothing_to_pick() -> None:
    with pytest.raises(StudyError, match="no measured point"):
        choose(History(default_objectives("accuracy")), Wish())


def test_a_compressed_model_slower_than_the_reference_is_not_picked(make_record: Make) -> None:
    slow = make_record(1, {"accuracy": 0.99, "latency_p95_ms": 2.0})
    build = replace(slow.candidate.build, quantization=Quantization.INT8_WEIGHT)
    slow = replace(slow, candidate=replace(slow.candidate, build=build))
    history = History(default_objectives("accuracy"))
    history.add(make_record(0, {"accuracy": 0.9, "latency_p95_ms": 1.0}))
    history.add(slow)
    assert choose(history, Wish()).number == 0


def fresh(record: TrialRecord, **values: tuple[float, float, float]) -> Confirmed:
    measurement = record.measurement
    assert measurement is not None
    statistics = {**measurement.statistics, **{k: Statistic(*v) for k, v in values.items()}}
    return Confirmed(record.number, replace(measurement, statistics=statistics), 1.0, True)


def test_trials_that_were_not_confirmed_are_named_if_they_would_fit(make_record: Make) -> None:
    history = History(default_objectives("accuracy"))
    for number, latency_ms in enumerate((4.0, 2.0, 2.5)):
        history.add(make_record(number, {"accuracy": 0.9, "latency_p95_ms": latency_ms}))
    history.confirmed = [fresh(history.records[0], latency_p95_ms=(4.0, 3.9, 4.1))]
    with pytest.raises(StudyError, match="these trials fit: 1, 2") as refused:
        rank(history, Wish(max_latency_ms=3.0))
    assert "paretune confirm" in str(refused.value)
    with pytest.raises(StudyError) as refused:
        rank(history, Wish(max_latency_ms=1.0))
    assert "these trials fit" not in str(refused.value)


def test_a_budget_is_held_against_the_upper_end_of_the_published_interval(
    make_record: Make,
) -> None:
    history = History(default_objectives("accuracy"))
    for number, accuracy in enumerate((0.8, 0.9, 0.95)):
        history.add(make_record(number, {"accuracy": accuracy, "latency_p95_ms": 1.0}))
    history.confirmed = [
        fresh(history.records[0], latency_p95_ms=(0.5, 0.4, 0.6)),
        fresh(history.records[1], latency_p95_ms=(1.0, 0.9, 1.1)),
        fresh(history.records[2], latency_p95_ms=(1.0, 0.8, 1.3)),
    ]
    assert choose(history, Wish(max_latency_ms=1.2)).number == 1
    assert choose(history, Wish(max_latency_ms=1.3)).number == 2
    assert choose(history, Wish(max_latency_ms=1.05)).number == 0
    assert choose(history, Wish(max_latency_ms=1.2)).metrics["latency_p95_ms"] == 1.0


def test_any_metric_any_runner_and_a_drop_can_be_limited(history: History) -> None:
    limit = Constraint("throughput_samples_per_s", minimum=50)
    picked = choose(history, Wish(limits=(limit,)))
    assert picked.metrics["throughput_samples_per_s"] >= 50
    assert choose(history, Wish(runner="onnxruntime")).candidate.run.runner == "onnxruntime"
    base = history.baseline
    assert base is not None
    drop = Wish(max_latency_ms=3.0, max_quality_drop=0.05)
    for record in rank(history, drop):
        assert record.metrics["accuracy"] >= base.metrics["accuracy"] - 0.05
    with pytest.raises(StudyError, match="no recorded metric 'latency'"):
        choose(history, Wish(limits=(Constraint("latency", maximum=1),)))
    with pytest.raises(StudyError, match="runner 'tensorrt'"):
        choose(history, Wish(runner="tensorrt"))


def test_the_knee_lies_where_the_frontier_bends(make_record: Make) -> None:
    history = History(default_objectives("accuracy"))
    bends = [(0.5, 1.0), (0.9, 2.0), (0.92, 8.0), (0.93, 64.0)]
    for number, (accuracy, latency) in enumerate(bends):
        history.add(make_record(number, {"accuracy": accuracy, "latency_p95_ms": latency}))
    found = knee(history, Wish())
    assert found is not None and found.number == 1


def test_a_point_that_breaks_its_promise_is_left_for_the_next(history: History) -> None:
    wish = Wish(max_latency_ms=5.0)
    ranked = rank(history, wish)
    slow, missing = ranked[0].number, ranked[1].number

    def measure(record: TrialRecord) -> Measurement | Failure:
        assert record.measurement is not None
        if record.number == missing:
            return Failure("pick", FailureKind.UNSUPPORTED, "no such provider")
        value = Statistic(5.5 if record.number == slow else 4.5)
        statistics = {**record.measurement.statistics, "latency_p95_ms": value}
        return replace(record.measurement, statistics=statistics)

    kept = first_that_keeps(ranked, wished_limits(history, wish), measure)
    assert kept.record is ranked[2]
    assert "latency_p95_ms is 5.5 now" in kept.broken[0] and "limit: 5" in kept.broken[0]
    assert "no such provider" in kept.broken[1]
    with pytest.raises(StudyError, match="no point keeps its limits"):
        first_that_keeps(ranked[:2], wished_limits(history, wish), measure)
