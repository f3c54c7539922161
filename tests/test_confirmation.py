"""Confirmation: plausible points are measured again, and only fresh values are published."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import IRIS, QUICK_CONFIRMATION, run_paretune, write_study
from mlflow.tracking import MlflowClient
from study_checks import numbers

import paretune
from paretune.runners.measure.campaign import Entry
from paretune.runners.measure.statistic import Statistic
from paretune.runners.runtimes.launch import Launch
from paretune.runners.workload.data import Data
from paretune.runners.workload.loaded import LoadedWorkload
from paretune.search.confirm.confirmation import Confirmation
from paretune.search.confirm.fresh_points import FreshPoints, Point
from paretune.search.confirm.judgement import tell_of_change
from paretune.search.confirm.plausible import plausible, to_confirm
from paretune.search.record.confirmed import Confirmed
from paretune.search.record.history import History
from paretune.search.record.objective import Constraint, default_objectives
from paretune.search.record.trial import TrialRecord
from paretune.search.record.wish import Wish
from paretune.search.record.words import close_calls_text
from paretune.search.review.frontier_table import frontier_table
from paretune.search.review.study_markdown import study_markdown
from paretune.search.review.terminal.best import Best
from paretune.search.study.open_study import load_history

Make = Callable[..., TrialRecord]
GOALS = default_objectives("accuracy")


def with_intervals(record: TrialRecord, half_width: float) -> TrialRecord:
    measurement = record.measurement
    assert measurement is not None
    statistics = {
        name: Statistic(s.value, s.value * (1 - half_width), s.value * (1 + half_width))
        if name != "accuracy"
        else s
        for name, s in measurement.statistics.items()
    }
    return replace(record, outcome=replace(measurement, statistics=statistics))


def point(number: int, make: Make, accuracy: float, latency: float) -> TrialRecord:
    metrics = {
        "accuracy": accuracy,
        "latency_p95_ms": latency,
        "throughput_samples_per_s": 1000 / latency,
    }
    return with_intervals(make(number, metrics), 0.1)


def test_what_is_dominated_only_within_its_interval_is_plausible(make_record: Make) -> None:
    records = [
        point(0, make_record, 0.90, 1.0),
        point(1, make_record, 0.90, 1.1),  # dominated by 0, but the intervals overlap
        point(2, make_record, 0.90, 2.0),  # clearly dominated by 0
        point(3, make_record, 0.95, 2.0),  # on the frontier
        point(4, make_record, 0.85, 0.99),  # no better than 0 for sure, but may be
    ]
    history = History(GOALS, records=records)
    assert [r.number for r in plausible(history)] == [0, 3, 4, 1]


def test_the_baseline_and_what_a_pick_would_take_are_confirmed_first(make_record: Make) -> None:
    records = [
        point(0, make_record, 0.90, 3.0),
        point(1, make_record, 0.95, 4.0),
        point(2, make_record, 0.93, 3.5),
        point(3, make_record, 0.89, 1.0),
    ]
    history = History(GOALS, records=records)
    assert [each.number for each in to_confirm(history)] == [0, 1, 2, 3]
    best = Best().update(history)
    assert best is records[0]  # 3 loses more than one percent
    history = History(GOALS, records=records, wish=Wish(max_quality_drop=0.02))
    best = Best().update(history)
    assert best is records[3]
    assert [each.number for each in to_confirm(history, best)] == [0, 3, 1, 2]


def test_plausible_holds_the_frontier_and_nothing_that_is_clearly_beaten(
    make_record: Make, rng: np.random.Generator
) -> None:
    records = [
        point(number, make_record, float(rng.integers(80, 99)) / 100, float(rng.uniform(1, 5)))
        for number in range(80)
    ]
    history = History(GOALS, records=records)
    kept = {record.number for record in plausible(history)}
    assert {record.number for record in history.frontier} <= kept
    for record in records:
        a = record.metrics
        beaten = any(
            b["accuracy"] >= a["accuracy"]
            and b["latency_p95_ms"] * 1.1 <= a["latency_p95_ms"] * 0.9
            for b in (other.metrics for other in records)
        )
        if beaten:
            assert record.number not in kept or record in history.frontier


def answered(record: TrialRecord, right: np.ndarray) -> TrialRecord:
    """Return a trial whose model got these samples right."""
    assert record.measurement is not None
    rows = np.random.default_rng(0).integers(len(right), size=(200, len(right)))
    resampled = tuple(right[rows].mean(axis=1).tolist())
    return replace(record, outcome=replace(record.measurement, resampled=resampled))


def test_one_validation_sample_does_not_decide_what_is_plausible(make_record: Make) -> None:
    right = np.ones(100, dtype=bool)
    right[:10] = False  # the fast one
    worse = np.ones(100, dtype=bool)
    worse[9:20] = False  # ten other samples wrong, and one more
    much = np.ones(100, dtype=bool)
    much[:40] = False  # the same ones wrong, and thirty more
    records = [
        answered(point(0, make_record, 0.90, 1.0), right),
        answered(point(1, make_record, 0.89, 2.0), worse),
        answered(point(2, make_record, 0.60, 2.0), much),
    ]
    assert [r.number for r in plausible(History(GOALS, records=records))] == [0, 1]
    without = [
        replace(r, outcome=replace(r.measurement, resampled=())) for r in records if r.measurement
    ]
    assert [r.number for r in plausible(History(GOALS, records=without))] == [0]


def fresh(records: list[TrialRecord], rights: list[np.ndarray]) -> FreshPoints:
    launch = Launch(1.0, 1.0, 1, True, (1.0, 1.1), 1.0, 1.0, 0.0, 1, 0.1)
    points = [
        Point(
            record,
            Entry("0" * 64, record.candidate.run),
            float(right.mean()),
            list(answered(record, right).measurement.resampled),  # type: ignore[union-attr]
        )
        for record, right in zip(records, rights, strict=True)
    ]
    return FreshPoints(points, [[launch] * 3] * len(points), GOALS, "accuracy")


def test_two_launches_that_tell_nothing_leave_finite_draws(make_record: Make) -> None:
    """A standard error from one degree of freedom has no bound; a time of 0 has no logarithm."""
    times = ((0.01,) * 2, (10.0,) * 2)
    wild = [Launch(1.0, 1.0, 1, True, each, 1.0, 1.0, 0.0, 1, 0.1) for each in times]
    records = [make_record(0, {}), make_record(1, {})]
    entries = [Entry("0" * 64, record.candidate.run) for record in records]
    points = [Point(r, entry, 0.5, []) for r, entry in zip(records, entries, strict=True)]
    found = FreshPoints(points, [wild] * 2, GOALS, "accuracy")
    assert np.isfinite(found.draws).all()


def test_a_quality_that_is_one_sample_better_is_not_surely_better(make_record: Make) -> None:
    one, other = np.ones(100, dtype=bool), np.ones(100, dtype=bool)
    one[:10], other[:11] = False, False
    records = [make_record(0, {}), make_record(1, {})]
    assert records[1].measurement is not None
    other_file = replace(records[1].measurement, artifact="2" * 64)
    found = fresh([records[0], replace(records[1], outcome=other_file)], [one, other]).draws
    assert 0.05 < (found[:, 1, 0] < found[:, 0, 0]).mean() < 0.5
    # One file is as good as itself, however it is run.
    same = fresh(records, [one, one]).draws
    assert (same[:, 1, 0] == same[:, 0, 0]).all()


def test_two_launches_that_disagree_can_be_drawn_from(make_record: Make) -> None:
    records = [make_record(number, {}) for number in range(4)]
    launches = [
        Launch(1.0, 1.0, 1, True, (time_ms,) * 2, 1.0, 1.0, 0.0, 1, 0.1) for time_ms in (1.0, 1e6)
    ]
    points = fresh(records, [np.ones(10, dtype=bool)] * 4).points
    found = FreshPoints(points, [launches] * 4, GOALS, "accuracy")
    assert np.isfinite(found.draws).all()


def test_a_quality_that_cannot_be_resampled_is_taken_as_it_is(make_record: Make) -> None:
    found = fresh([make_record(0, {}), make_record(1, {})], [np.ones(10, dtype=bool)] * 2)
    for known in found.points:
        known.resampled = []
    assert (found.draws[:, :, 0] == -1.0).all()


def test_a_published_interval_holds_a_second_measurement(rng: np.random.Generator) -> None:
    held = {"mean": 0, "repetition": 0}
    for first, second in rng.normal(10, 1, (4000, 2, 5)):
        mean = Statistic.over_launches(first)
        for name, each in (("mean", mean), ("repetition", mean.for_repetition())):
            assert each.low is not None and each.high is not None
            held[name] += each.low <= second.mean() <= each.high
    assert held["mean"] / 4000 < 0.9
    assert held["repetition"] / 4000 == pytest.approx(0.95, abs=0.015)
    assert Statistic(1.0).for_repetition() == Statistic(1.0)


def test_a_search_publishes_fresh_values_with_the_test_splits_quality(iris_study: Path) -> None:
    history = load_history(iris_study)
    confirmed = {each.number: each for each in history.confirmed}
    wanted = {each.number for each in plausible(history) if history.is_of_interest(each)}
    assert wanted <= set(confirmed)
    assert history.published
    searched = {record.number: record for record in history.measured}
    loaded = LoadedWorkload(f"{IRIS}:Iris", IRIS.parent)
    assert isinstance(loaded.data, Data)
    sizes = len(loaded.data.test.targets)
    for number, each in confirmed.items():
        old = searched[number].measurement
        assert old is not None
        assert each.measurement.samples != old.samples
        assert each.measurement.artifact == old.artifact
        quality = each.measurement.statistics["accuracy"]
        assert quality.value * sizes == pytest.approx(round(quality.value * sizes))
        assert quality.low is not None and quality.high is not None
        assert quality.low <= quality.value <= quality.high
        assert 0 <= each.probability <= 1
    for each in history.confirmed:
        if each.same_as is not None:
            assert confirmed[each.same_as].is_published and not each.is_published


def test_close_calls_are_named(iris_study: Path) -> None:
    history = load_history(iris_study)
    first = replace(history.confirmed[0], is_published=True, same_as=None)
    others = [
        replace(first, number=number, probability=chance, is_published=False, same_as=same)
        for number, chance, same in ((1, 0.6, None), (2, 0.8, None), (3, 0.4, None), (4, 0.9, 0))
    ]
    history.confirmed = [first]
    assert close_calls_text(history) == ""
    history.confirmed += others
    assert [point.number for point in history.close_calls] == [2, 1]
    # The baseline has a row of its own.
    history.confirmed.append(replace(others[1], number=0, probability=0.7))
    assert len(history.close_calls) == 3
    assert "trial 2 (0.80), 1 (0.60)" in close_calls_text(history)
    assert close_calls_text(history) in str(frontier_table(history).caption)
    assert close_calls_text(history) in study_markdown("iris", history, {})
    history.constraints = (Constraint("size_bytes", maximum=1.0),)
    assert history.close_calls == []  # a limit that is broken is no matter of likelihood


def test_mlflow_shows_what_is_published(iris_study: Path) -> None:
    client = MlflowClient(tracking_uri=f"sqlite:///{iris_study.parent}/results/mlflow.db")
    experiment = client.get_experiment_by_name("iris")
    assert experiment is not None
    history = load_history(iris_study)
    runs = client.search_runs([experiment.experiment_id], "tags.published = 'true'")
    shown = {int(run.data.tags["paretune.trial"]): numbers(run) for run in runs}
    assert set(shown) == {each.number for each in history.published}
    for each in history.published:
        for name, value in each.metrics.items():
            assert shown[each.number][f"confirmed_{name}"] == pytest.approx(value, rel=1e-12)


@pytest.mark.slow
def test_confirming_again_replaces_the_published_values(tmp_path: Path) -> None:
    study = write_study(tmp_path, budget={"trials": 4}, confirmation=QUICK_CONFIRMATION)
    assert run_paretune("search", study).returncode == 0
    first = {each.number: each.measurement.samples for each in load_history(study).confirmed}
    # Nothing is new: the same command measures nothing again.
    assert run_paretune("search", study).returncode == 0
    assert {e.number: e.measurement.samples for e in load_history(study).confirmed} == first
    done = run_paretune("confirm", study)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "published frontier" in done.stdout
    second = {each.number: each.measurement.samples for each in load_history(study).confirmed}
    assert set(second) == set(first)
    assert not set(second.values()) & set(first.values())
    # What has time for fewer points says so, and does not replace more.
    hasty = run_paretune("confirm", study, "--hours", "0.0001")
    told = " ".join((hasty.stdout + hasty.stderr).split())
    assert re.search(
        r"\d+ of \d+ plausible points are left out, for lack of time \(trials? \d+", told
    )
    assert {each.number for each in load_history(study).confirmed} == set(first)


def test_once_the_time_of_a_launch_is_known_more_points_are_measured(
    iris_copy: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    wanted = to_confirm(load_history(iris_copy))
    assert len(wanted) > 2
    # By this estimate there is time for two points.
    monkeypatch.setattr(Confirmation, "_launch_s", lambda _: 300.0)
    taken: list[int] = []
    take_in = Confirmation._take_in
    monkeypatch.setattr(
        Confirmation,
        "_take_in",
        lambda self, new, *others: taken.append(len(new)) or take_in(self, new, *others),
    )
    after = paretune.confirm(iris_copy, hours=0.2)
    assert taken == [2, len(wanted) - 2]
    assert {each.number for each in after.confirmed} == {each.number for each in wanted}
    assert "are left out" not in caplog.text


def test_a_study_without_measurements_has_nothing_to_confirm(tmp_path: Path) -> None:
    done = run_paretune("confirm", write_study(tmp_path))
    assert done.returncode == 1
    assert "paretune search" in done.stderr


def test_a_confirmed_point_survives_being_stored(iris_study: Path) -> None:
    for each in load_history(iris_study).confirmed:
        assert Confirmed.from_dict(each.as_dict()) == each


@pytest.mark.parametrize(("change", "is_told"), [(1.1, False), (3.0, True), (0.3, True)])
def test_a_machine_that_changed_since_the_search_is_told(
    change: float, is_told: bool, caplog: pytest.LogCaptureFixture
) -> None:
    tell_of_change({"latency_p95_ms": change, "throughput_samples_per_s": 1 / change**0.5})
    assert (f"p95 ms is {change:g} times what the search measured" in caplog.text) == is_told
    caplog.clear()
    tell_of_change({})
    assert not caplog.text
