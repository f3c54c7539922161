import itertools
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from search.choice import Wish, choose
from search.history import History
from search.objective import Constraint, default_objectives
from search.trial import TrialRecord
from spaces import Quantization, StudyError

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
    picked = choose(history, Wish(budget, percentile, None, batch_size))
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
    assert "latency_p95_ms: asked for 0.001, the best is" in message
    assert "the other limits kept (trial " in message


def test_two_impossible_limits_are_each_told_by_themselves(history: History) -> None:
    with pytest.raises(StudyError) as caught:
        choose(history, Wish(max_latency_ms=0.001, min_quality=1.5))
    message = str(caught.value)
    assert message.count("by itself (trial ") == 2
    assert "accuracy: asked for 1.5000, the best is" in message


def test_an_unmeasured_batch_size_names_those_measured(history: History) -> None:
    with pytest.raises(StudyError, match=r"measured were \[1, 8\]"):
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
