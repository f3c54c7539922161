"""Gains: which way each ratio points, and which latency is compared."""

import json
import math
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import TESTS

from paretune.runners.measure.statistic import Statistic
from paretune.search.deliver.pick_text import gains_text
from paretune.search.record.gains import gains, latency_metric, speedup
from paretune.search.record.history import History
from paretune.search.record.objective import Objective, default_objectives
from paretune.search.record.trial import TrialRecord

sys.path.append(str(TESTS.parent / "experiments"))

import before_and_after

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


def timed(record: TrialRecord, value: float, factor: float) -> TrialRecord:
    """Return a record with this p95, whose interval is so many times above and below it."""
    assert record.measurement is not None
    p95 = Statistic(value, value / factor, value * factor)
    statistics = {**record.measurement.statistics, "latency_p95_ms": p95}
    return replace(record, outcome=replace(record.measurement, statistics=statistics))


def test_times_faster_has_the_interval_of_a_quotient(
    make_record: Callable[..., TrialRecord],
) -> None:
    history = History(default_objectives("accuracy"))
    base, quick = timed(make_record(0, {}), 4.0, 1.3), timed(make_record(1, {}), 1.0, 1.4)
    found = speedup(quick, base, history)
    factor = math.exp(math.hypot(math.log(1.3), math.log(1.4)))
    assert found is not None and found.value == 4.0
    assert found.ends == pytest.approx((4.0 / factor, 4.0 * factor))
    once = speedup(make_record(2, {"latency_p95_ms": 2.0}), base, history)  # without an interval
    assert once == Statistic(2.0)
    assert speedup(make_record(3, None), base, history) is None
    for record in (base, quick, timed(make_record(4, {}), 8.0, 1.0)):
        history.add(record)
    assert "4 × faster (latency_p95_ms; 95 %: 2.61 … 6.13)" in gains_text(quick, history)[0]
    slow = gains_text(history.records[-1], history)[0]
    assert "2 × slower (latency_p95_ms; 95 %: 1.54 … 2.6)" in slow


def test_the_interval_of_a_quotient_holds_the_true_one(rng: np.random.Generator) -> None:
    """Two means of five launches each: the true ratio is inside in about 95 % of cases."""
    inside = 0
    for _ in range(1_000):
        one, other = (
            Statistic.geometric(centre * np.exp(rng.normal(0.0, 0.1, 5))) for centre in (3.0, 2.0)
        )
        low, high = one.over(other).ends
        inside += low <= 1.5 <= high
    assert 930 <= inside <= 995


def test_what_a_pick_gained_is_told_in_a_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {
        "latency_p95_ms": 3.859,
        "throughput_samples_per_s": 265.4,
        "accuracy": 0.9208,
        "size_bytes": 3_163_737.0,
    }
    after = {
        "latency_p95_ms": 0.7843,
        "throughput_samples_per_s": 1365.0,
        "accuracy": 0.9235,
        "size_bytes": 889_107.0,
    }
    manifest = {
        "metrics": {name: {"value": value} for name, value in after.items()},
        "baseline": before,
        "quality": {"metric": "accuracy"},
        "model": {"file": "model.xml"},
        "run": {
            "runner": "openvino",
            "execution_provider": "CPU",
            "session_options": {"intra_op_num_threads": 2},
        },
    }
    (tmp_path / "manifest.json").write_text(json.dumps(manifest), "utf-8")
    before_and_after.main(tmp_path)
    told = capsys.readouterr().out.splitlines()
    assert told[1].split("  ")[-1].strip() == "4.9 times faster" and "3.86 ms" in told[1]
    assert "1,365" in told[2] and told[2].endswith("5.1 times as many")
    assert told[3].endswith("+0.0027") and told[4].endswith("3.6 times smaller")
    assert "with 2 threads" in told[7] and told[-1] == f"next: paretune verify {tmp_path}"
    assert before_and_after.times(1.04, "faster", "slower") == "the same"
    assert before_and_after.times(0.5, "faster", "slower") == "2.0 times slower"
