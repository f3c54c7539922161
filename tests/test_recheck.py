"""The measurement during a pick is compared with the published values."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from paretune.runners.measure.measurement import Measurement
from paretune.runners.measure.statistic import Statistic
from paretune.runners.runtimes.onnxruntime_runner import OnnxRuntimeRunner
from paretune.runners.store.artifact_store import ArtifactStore
from paretune.search.deliver.fresh_check import first_that_keeps
from paretune.search.deliver.pick_text import recheck_text
from paretune.search.deliver.picked import Origin, Pick
from paretune.search.record.history import History
from paretune.search.record.objective import Constraint, default_objectives
from paretune.search.record.trial import TrialRecord
from paretune.search.record.wish import Wish

Make = Callable[..., TrialRecord]


def measured(record: TrialRecord, **values: Statistic) -> Measurement:
    assert record.measurement is not None
    return replace(record.measurement, statistics={**record.measurement.statistics, **values})


def test_a_kept_budget_does_not_hide_that_the_published_interval_was_left(
    make_record: Make,
) -> None:
    record = make_record(1, {"accuracy": 0.9})
    published = replace(
        record,
        outcome=measured(
            record,
            latency_p95_ms=Statistic(0.0374, 0.031, 0.043),
            latency_p50_ms=Statistic(0.03, 0.02, 0.04),
            throughput_samples_per_s=Statistic(1000.0, 900.0, 1100.0),
        ),
    )
    now = measured(
        record,
        latency_p95_ms=Statistic(0.0516, 0.0506, 0.0526),
        latency_p50_ms=Statistic(0.031, 0.03, 0.032),
        throughput_samples_per_s=Statistic(950.0, 940.0, 960.0),
    )
    budget = Constraint("latency_p95_ms", maximum=0.1)
    kept = first_that_keeps([published], [budget], lambda _: now)
    assert kept.record is published and not kept.broken
    assert not kept.rechecks["latency_p95_ms"].is_inside
    assert kept.rechecks["throughput_samples_per_s"].is_inside
    assert "size_bytes" not in kept.rechecks and "accuracy" not in kept.rechecks  # no interval
    written = kept.rechecks["latency_p95_ms"].as_dict()
    assert written["value"] == 0.0516 and written["inside"] is False
    # Like the published one it is the interval of a repetition: wider by the root of two.
    low, high = written["low"], written["high"]
    assert low is not None and high is not None
    assert math.log(high / low) == pytest.approx(2**0.5 * math.log(0.0526 / 0.0506))

    history, wish = History(default_objectives("accuracy")), Wish(max_latency_ms=0.1)
    [text] = recheck_text(kept.rechecks, history, wish)
    assert text == (
        "measured just now: latency_p95_ms 0.0516 (published 0.0374, interval 0.031 … 0.043: "
        "outside)"
    )
    # What is limited is told in any case, and so is what is outside, whatever was asked for.
    limited = Wish(percentile="p50", limits=(Constraint("throughput_samples_per_s", minimum=1),))
    told = recheck_text(kept.rechecks, history, limited)
    assert [line.split()[3] for line in told] == [
        "latency_p50_ms",
        "throughput_samples_per_s",
        "latency_p95_ms",
    ]


def test_a_pick_names_the_file_that_was_written(make_record: Make, tmp_path: Path) -> None:
    record, history = make_record(0, {}), History(default_objectives("accuracy"))
    manifest = tmp_path / "manifest.json"
    manifest.write_text(json.dumps({"model": {"file": "model.pt2"}}), "utf-8")
    origin = Origin("one", ArtifactStore(tmp_path / "store"), OnnxRuntimeRunner)
    assert (
        Pick(record, history, Wish(), (record,), origin, manifest).model == tmp_path / "model.pt2"
    )
    assert Pick(record, history, Wish(), (record,), origin).model is None
