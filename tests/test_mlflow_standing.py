"""The standing of trials in their runs: gains, verdicts, and one meaning of frontier."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from mlflow.entities import Run
from study_checks import numbers
from test_tracking import opened, runs, tagged

from paretune.runners.measure.statistic import Statistic
from paretune.search.record.confirmed import Confirmed
from paretune.search.record.history import History
from paretune.search.record.objective import Constraint, default_objectives
from paretune.search.record.trial import TrialRecord
from paretune.search.review.mlflow.audit import disagreements
from paretune.search.review.mlflow.run_tracking import MlflowTracking

Make = Callable[..., TrialRecord]
GOALS = default_objectives("accuracy")
LIMITS = [Constraint("size_bytes", maximum=1e9)]
BASELINE = {
    "accuracy": 0.90,
    "latency_p95_ms": 4.0,
    "throughput_samples_per_s": 250.0,
    "size_bytes": 4000.0,
}
QUICK = {
    "accuracy": 0.88,
    "latency_p95_ms": 1.0,
    "throughput_samples_per_s": 1000.0,
    "size_bytes": 1000.0,
}
TWIN = QUICK | {"latency_p95_ms": 1.01}
SLOW = QUICK | {"accuracy": 0.89, "latency_p95_ms": 3.0, "throughput_samples_per_s": 300.0}


def gains_of(run: Run, prefix: str = "") -> list[float]:
    names = ("speedup_vs_baseline", "throughput_ratio_vs_baseline", "size_ratio_vs_baseline")
    return [numbers(run)[f"{prefix}{name}"] for name in (*names, "quality_drop")]


def confirmed(record: TrialRecord, *, accuracy: float, verdict: Mapping[str, object]) -> Confirmed:
    """Return a point with fresh values: another accuracy, and intervals of a tenth."""
    assert record.measurement is not None
    values = record.metrics | {"accuracy": accuracy}
    fresh = {name: Statistic(v, 0.9 * v, 1.1 * v) for name, v in values.items()}
    measurement = replace(record.measurement, statistics=fresh, samples=f"{record.number:064d}")
    point = Confirmed(record.number, measurement, probability=0.2, is_published=False)
    return replace(point, **verdict)  # type: ignore[arg-type]


@pytest.fixture
def history(make_record: Make) -> History:
    """Four trials, of which the search has three on its frontier, and confirmation two."""
    metrics = [BASELINE, QUICK, TWIN, SLOW]
    return History(GOALS, LIMITS, records=[make_record(n, m) for n, m in enumerate(metrics)])


def confirm(history: History) -> None:
    published = {"is_published": True, "probability": 0.9, "row_probability": 0.95}
    verdicts: list[tuple[float, dict[str, object]]] = [
        (0.92, published),
        (0.90, published),
        (0.90, {"same_as": 1}),
        (0.88, {"why_not": "trial 1 is better in everything"}),
    ]
    history.confirmed = [
        confirmed(record, accuracy=accuracy, verdict=verdict)
        for record, (accuracy, verdict) in zip(history.records, verdicts, strict=True)
    ]


def audit(tracking: MlflowTracking, history: History) -> list[str]:
    uri = tracking.client.tracking_uri
    return disagreements(uri, "study", tracking.definition, history, None)


def test_every_measured_trial_says_what_it_gains(tmp_path: Path, history: History) -> None:
    by_trial = runs(opened(tmp_path, history))
    assert gains_of(by_trial[0]) == [1.0, 1.0, 1.0, 0.0]
    assert gains_of(by_trial[1]) == pytest.approx([4.0, 4.0, 0.25, 0.02])


def test_trials_before_the_baseline_are_reported_when_it_is_measured(
    tmp_path: Path, make_record: Make
) -> None:
    history = History(GOALS)
    tracking = opened(tmp_path, history)
    for number, metrics in ((1, QUICK), (0, BASELINE)):
        record = make_record(number, metrics)
        history.add(record)
        tracking.log_trial(record, history)
    assert gains_of(runs(tracking)[1]) == pytest.approx([4.0, 4.0, 0.25, 0.02])
    assert audit(tracking, history) == []


def test_a_confirmed_point_says_its_fresh_gains_intervals_and_verdict(
    tmp_path: Path, history: History
) -> None:
    tracking = opened(tmp_path, history)
    confirm(history)
    tracking.log_confirmed(history)
    by_trial = runs(tracking)
    # The search's values in the plain names; the fresh ones of both in the others.
    assert gains_of(by_trial[1])[3] == gains_of(by_trial[1], "confirmed_")[3] == pytest.approx(0.02)
    assert by_trial[3].data.metrics["gain/quality_drop"] == pytest.approx(0.01)
    assert by_trial[3].data.metrics["gain/confirmed_quality_drop"] == pytest.approx(0.04)
    metrics = numbers(by_trial[1])
    for name in ("accuracy", "latency_p95_ms", "throughput_samples_per_s", "size_bytes"):
        value = metrics[f"confirmed_{name}"]
        ends = metrics[f"confirmed_{name}_low"], metrics[f"confirmed_{name}_high"]
        assert ends == pytest.approx((0.9 * value, 1.1 * value))
    assert "confirmed_latency_p50_ms_low" not in metrics  # neither sought nor limited
    assert (metrics["probability_non_dominated"], metrics["row_probability"]) == (0.9, 0.95)
    assert "row_probability" not in numbers(by_trial[3])
    verdicts = {
        number: {
            name: run.data.tags.get(name) for name in ("published", "same_as", "why_not_published")
        }
        for number, run in by_trial.items()
    }
    published = {"published": "true", "same_as": None, "why_not_published": None}
    assert verdicts == {
        0: published,
        1: published,
        2: {"published": "false", "same_as": "1", "why_not_published": None},
        3: {
            "published": "false",
            "same_as": None,
            "why_not_published": "trial 1 is better in everything",
        },
    }


def test_the_frontier_is_the_published_one_once_there_is_one(
    tmp_path: Path, history: History, make_record: Make
) -> None:
    tracking = opened(tmp_path, history)
    assert tagged(tracking) == tagged(tracking, "search_frontier") == [0, 1, 3]
    confirm(history)
    tracking.log_confirmed(history)
    assert tagged(tracking) == tagged(tracking, "published") == [0, 1]
    assert tagged(tracking, "search_frontier") == [0, 1, 3]
    # The search goes on: what is published stays until it is confirmed again.
    better = make_record(4, {name: QUICK[name] for name in QUICK} | {"accuracy": 0.95})
    history.add(better)
    tracking.log_trial(better, history)
    assert tagged(tracking) == [0, 1]
    assert tagged(tracking, "search_frontier") == [4]
    assert audit(tracking, history) == []


def test_points_judged_again_by_the_same_samples_are_reported_again(
    tmp_path: Path, history: History
) -> None:
    confirm(history)
    tracking = opened(tmp_path, history)
    before = [point.measurement.samples for point in history.confirmed]
    swap = {
        1: {"is_published": False, "same_as": 2, "row_probability": None, "probability": 0.4},
        2: {"is_published": True, "same_as": None, "row_probability": 0.7, "probability": 0.6},
        3: {"why_not": ""},
    }
    history.confirmed = [replace(p, **swap.get(p.number, {})) for p in history.confirmed]  # type: ignore[arg-type]
    assert [point.measurement.samples for point in history.confirmed] == before
    assert audit(tracking, history) != []
    # As a search does in the end, or as its next start or `paretune sync` does.
    for tell in (lambda: tracking.log_confirmed(history), lambda: opened(tmp_path, history)):
        tell()
        by_trial = runs(tracking)
        assert tagged(tracking) == tagged(tracking, "published") == [0, 2]
        assert by_trial[1].data.tags["same_as"] == "2"
        assert by_trial[2].data.tags["same_as"] == ""
        assert by_trial[3].data.tags["why_not_published"] == ""
        assert math.isnan(numbers(by_trial[1])["row_probability"])
        assert numbers(by_trial[1])["probability_non_dominated"] == 0.4
        assert numbers(by_trial[2])["row_probability"] == 0.7
        assert audit(tracking, history) == []


def test_a_point_that_is_confirmed_no_more_says_so(tmp_path: Path, history: History) -> None:
    confirm(history)
    tracking = opened(tmp_path, history)
    del history.confirmed[1]
    assert opened(tmp_path, history).runs == tracking.runs
    run = runs(tracking)[1]
    assert run.data.tags["published"] == "" and run.data.tags["frontier"] == "false"
    assert math.isnan(numbers(run)["confirmed_latency_p95_ms"])
    assert numbers(run)["latency_p95_ms"] == QUICK["latency_p95_ms"]
    assert audit(tracking, history) == []
    # A filter on published points does not see a value that is no more.
    wish = "tags.published = 'true' and metrics.`latency/confirmed_latency_p95_ms` < 2"
    assert tracking.client.search_runs([tracking.experiment_id], wish) == []


def test_the_audit_sees_each_and_the_next_start_puts_it_right(
    tmp_path: Path, history: History
) -> None:
    confirm(history)
    tracking = opened(tmp_path, history)
    run = runs(tracking)[3].info.run_id
    wrong: dict[str, str | float] = {
        "frontier": "true",
        "search_frontier": "false",
        "published": "true",
        "same_as": "0",
        "why_not_published": "it rained",
        "gain/speedup_vs_baseline": 99.0,
        "gain/quality_drop": -1.0,
        "quality/confirmed_accuracy_low": 0.0,
        "gain/confirmed_speedup_vs_baseline": 99.0,
        "publication/probability_non_dominated": 1.0,
        "publication/row_probability": 1.0,
    }
    for name, value in wrong.items():
        assert audit(tracking, history) == []
        if isinstance(value, str):
            tracking.client.set_tag(run, name, value)
        else:
            tracking.client.log_metric(run, name, value)
        [problem] = audit(tracking, history)
        assert problem.startswith("trial 3: ") and f" {name} is " in problem
        opened(tmp_path, history)
    assert audit(tracking, history) == []


def test_a_persons_own_run_below_the_study_is_left_alone(tmp_path: Path, history: History) -> None:
    tracking = opened(tmp_path, history)
    tags = {"mlflow.parentRunId": tracking.parent_id}
    own = tracking.client.create_run(tracking.experiment_id, tags=tags, run_name="a note of mine")
    again = opened(tmp_path, history)
    assert again.runs == tracking.runs
    assert tracking.client.get_run(own.info.run_id).info.lifecycle_stage == "active"
    assert audit(tracking, history) == []
