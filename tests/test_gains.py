"""Gains: which way each ratio points, and which latency is compared."""

from collections.abc import Callable

import pytest

from paretune.search.record.gains import gains, latency_metric
from paretune.search.record.history import History
from paretune.search.record.objective import Objective, default_objectives
from paretune.search.record.trial import TrialRecord

BASELINE = {
    "accuracy": 0.90,
    "latency_p95_ms": 4.0,
    "latency_p50_ms": 3.0,
    "throughput_samples_per_s": 250.0,
    "size_bytes": 4000.0,
}
QUICK = {
    "accuracy": 0.88,
    "latency_p95_ms": 1.0,
    "latency_p50_ms": 1.5,
    "throughput_samples_per_s": 1000.0,
    "size_bytes": 1000.0,
}


def test_a_quicker_smaller_worse_model() -> None:
    found = gains(QUICK, BASELINE, History(default_objectives("accuracy")))
    assert found.latency_metric == "latency_p95_ms"
    assert (found.times_faster, found.throughput_ratio, found.times_smaller) == (4.0, 4.0, 4.0)
    assert found.quality_change == pytest.approx(-0.02)


def test_a_larger_batch_is_slower_per_call_and_does_more() -> None:
    batch = QUICK | {"latency_p95_ms": 8.0, "throughput_samples_per_s": 4000.0}
    found = gains(batch, BASELINE, History(default_objectives("accuracy")))
    assert (found.times_faster, found.throughput_ratio) == (0.5, 16.0)


@pytest.mark.parametrize(
    ("metrics", "compared"),
    [
        (["accuracy", "latency_p50_ms", "latency_p95_ms"], "latency_p50_ms"),
        (["accuracy", "end_to_end_latency_p99_ms"], "end_to_end_latency_p99_ms"),
        (["accuracy", "size_bytes", "session_creation_ms"], "latency_p95_ms"),
    ],
)
def test_the_first_latency_objective_is_compared(metrics: list[str], compared: str) -> None:
    assert latency_metric(History([Objective(m, "minimize") for m in metrics])) == compared


def test_the_baseline_gains_nothing_on_itself(make_record: Callable[..., TrialRecord]) -> None:
    record = make_record(0, {})
    found = gains(record.metrics, record.metrics, History(default_objectives("accuracy")))
    assert (found.times_faster, found.throughput_ratio, found.times_smaller) == (1.0, 1.0, 1.0)
    assert found.quality_change == 0.0
