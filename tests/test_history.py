from collections.abc import Callable

import pytest

from search.history import History
from search.objective import Constraint, Objective, default_objectives
from search.trial import TrialRecord

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
