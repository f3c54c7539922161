from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from paretune.search.record.history import History
from paretune.search.record.hypervolume import hypervolume
from paretune.search.record.objective import Constraint, Objective, default_objectives, losses
from paretune.search.record.trial import Skip, TrialRecord

Make = Callable[..., TrialRecord]


def test_objectives_are_compared_on_their_own_scale() -> None:
    latency, accuracy = Objective("latency_p95_ms", "minimize"), Objective("accuracy", "maximize")
    halved = latency.loss(2.0) - latency.loss(1.0)
    assert latency.loss(200.0) - latency.loss(100.0) == pytest.approx(halved)
    assert accuracy.loss(0.9) == -0.9


def test_constraints_measure_how_far_they_are_broken() -> None:
    assert Constraint("latency_p95_ms", maximum=5.0).violation(7.0) == 2.0
    assert Constraint("accuracy", minimum=0.9).violation(0.95) == pytest.approx(-0.05)


def test_frontier_has_the_baseline_in_it_only_if_nothing_beats_it(make_record: Make) -> None:
    history = History(default_objectives("accuracy"))
    base = {"accuracy": 0.9, "latency_p95_ms": 4.0, "throughput_samples_per_s": 100.0}
    history.add(make_record(0, base))
    assert history.frontier == [history.baseline]
    history.add(make_record(1, base | {"latency_p95_ms": 8.0}))
    history.add(make_record(2, base | {"accuracy": 0.5, "latency_p95_ms": 1.0}))
    assert [record.number for record in history.frontier] == [0, 2]
    history.add(make_record(3, base | {"latency_p95_ms": 3.0}))
    assert [record.number for record in history.frontier] == [3, 2]


def test_failures_and_infeasible_trials_are_not_on_the_frontier(make_record: Make) -> None:
    history = History(default_objectives("accuracy"), [Constraint("accuracy", minimum=0.8)])
    history.add(make_record(0, {"accuracy": 0.9}))
    history.add(make_record(1, {"accuracy": 0.7, "latency_p95_ms": 0.1}))
    history.add(make_record(2, None))
    assert [record.number for record in history.frontier] == [0]


@pytest.mark.parametrize("baseline_at", [0, 7, None])
def test_what_is_kept_up_to_date_is_what_the_definitions_give(
    make_record: Make, rng: np.random.Generator, baseline_at: int | None
) -> None:
    goals, limit = default_objectives("accuracy"), Constraint("accuracy", minimum=0.15)
    history = History(goals, [limit])
    numbers = [*map(int, rng.permutation(np.arange(1, 120)))]
    if baseline_at is not None:
        numbers.insert(baseline_at, 0)
    for number in numbers:
        record = random_record(number, make_record, rng)
        history.add(record)
        measured = [r for r in history.records if r.measurement]
        feasible = [r for r in measured if limit.violation(r.metrics["accuracy"]) <= 0]
        best = [r for r in feasible if not any(beats(other, r) for other in feasible)]
        best.sort(key=lambda r: (-r.metrics["accuracy"], r.number))
        assert (history.measured, history.feasible, history.frontier) == (measured, feasible, best)
        assert history.skipped == [r for r in history.records if r.skip]
        assert history.failed == [r for r in history.records if r.failure]
        causes = Counter(r.failure.cause for r in history.records if r.failure)
        told = history.failures_by_cause
        assert [len(numbers) for _, numbers in told] == [n for _, n in causes.most_common()]
        failed = {record.number for record in history.failed}
        assert {number for _, numbers in told for number in numbers} == failed
        for words, numbers in told:
            first = next(r.failure for r in history.failed if r.number == numbers[0])
            assert (
                first is not None and words == first.words and causes[first.cause] == len(numbers)
            )
        base = next((r for r in measured if r.number == 0), None)
        assert history.baseline is base
        if base is None:
            assert history.hypervolume is None
        else:
            drop = base.metrics["accuracy"] / 10
            worst = losses([base.metrics], goals)[0] + [drop, *[np.log(10)] * 2]
            points = losses([r.metrics for r in best], goals)
            assert history.hypervolume == pytest.approx(hypervolume(points, worst))
    again = History(goals, [limit], records=history.records)
    assert again.records == sorted(history.records, key=lambda r: r.number)
    assert (again.frontier, again.hypervolume) == (history.frontier, history.hypervolume)


def random_record(number: int, make_record: Make, rng: np.random.Generator) -> TrialRecord:
    """Make a trial with one of few values in each objective, or one that failed or was skipped."""
    if number % 10 == 3:
        return make_record(number, None)
    grid = {name: float(rng.integers(1, 9)) for name in ("latency_p95_ms", "size_bytes")}
    grid["throughput_samples_per_s"] = float(rng.integers(1, 9))
    record = make_record(number, grid | {"accuracy": float(rng.integers(1, 9)) / 10})
    if number % 10 == 7 and record.measurement:
        return replace(record, outcome=Skip("distill", "too slow", 0.5, record.measurement))
    return record


def beats(one: TrialRecord, other: TrialRecord) -> bool:
    a, b = one.metrics, other.metrics
    gains = [a[m] - b[m] for m in ("accuracy", "throughput_samples_per_s")]
    gains.append(b["latency_p95_ms"] - a["latency_p95_ms"])
    return min(gains) >= 0 and max(gains) > 0


def test_an_objective_that_is_not_a_number_is_refused(make_record: Make) -> None:
    history = History(default_objectives("accuracy"))
    with pytest.raises(ValueError, match="trial 0 has an objective with the value NaN"):
        history.add(make_record(0, {"accuracy": float("nan")}))
    assert history.records == history.measured == history.frontier == []


def test_hypervolume_grows_with_the_frontier(make_record: Make) -> None:
    history = History(default_objectives("accuracy"))
    assert history.hypervolume is None
    base = {"accuracy": 0.9, "latency_p95_ms": 4.0, "throughput_samples_per_s": 100.0}
    history.add(make_record(0, base))
    first = history.hypervolume
    history.add(make_record(1, base | {"latency_p95_ms": 8.0}))
    assert history.hypervolume == first and first is not None and first > 0
    history.add(make_record(2, base | {"latency_p95_ms": 2.0}))
    assert history.hypervolume > first


def test_one_cause_is_one_cause_whatever_the_numbers(make_record: Make) -> None:
    history = History(default_objectives("accuracy"))
    assert history.common_cause is None
    for number in range(3):
        history.add(make_record(number, None))
    assert len(history.failures_by_cause) == 1
    assert history.common_cause is not None
    history.add(make_record(3, {"accuracy": 0.9}))
    assert history.common_cause is None
