"""The wish: it moves the reference point, steers the search, forbids nothing."""

import math
import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import BUILT_SPACE, SMALL_SPACE, run_paretune, write_study
from test_strategy import LARGE, metrics, try_out

from paretune.search.configure.study_file import read_study_file
from paretune.search.propose.frontier_strategy import FrontierStrategy
from paretune.search.propose.strategy import OptunaStrategy
from paretune.search.propose.surrogates.model_doubt import doubts
from paretune.search.record.confirmed import Confirmed
from paretune.search.record.history import History
from paretune.search.record.objective import Objective, default_objectives, reference_point
from paretune.search.record.trial import TrialRecord
from paretune.search.record.wish import ANYTHING, Wish
from paretune.search.study.open_study import load_history
from paretune.spaces import ConfigError, SearchSpace

GOALS = default_objectives("accuracy")
BASE = {"accuracy": 0.98, "latency_p95_ms": 4.0, "throughput_samples_per_s": 250.0}


def ends(wish: Wish, base: Mapping[str, float] = BASE, batch_size: int = 1) -> list[float]:
    """Return the reference point in the metrics' own units."""
    reference = wish.reference(base, GOALS, "accuracy", batch_size)
    return [goal.value(end) for goal, end in zip(GOALS, reference, strict=True)]


def test_without_a_wish_a_tenth_of_the_quality_and_ten_times_the_times_count() -> None:
    assert ends(ANYTHING) == pytest.approx([0.882, 40.0, 25.0])


@pytest.mark.parametrize(
    ("quality", "end"), [(0.5, 0.45), (-0.5, -1.0), (0.0, -1.0), (-1e-9, -1.0)]
)
def test_an_error_may_double_and_a_quality_of_zero_has_no_scale(quality: float, end: float) -> None:
    goal = Objective("negative_mse", "maximize")
    [loss] = reference_point({"negative_mse": quality}, [goal])
    assert goal.value(loss) == pytest.approx(end, abs=1e-8)


def test_a_wish_moves_the_reference_a_little_beyond_its_limits() -> None:
    assert ends(Wish(max_latency_ms=2.0, max_quality_drop=0.02)) == pytest.approx(
        [0.955, 2.5, 25.0]
    )
    assert ends(Wish(max_latency_ms=2.0, percentile="p99")) == pytest.approx(ends(ANYTHING))
    both = ends(Wish(min_quality=0.97, max_quality_drop=0.02))
    assert both == pytest.approx([0.9675, 40.0, 25.0])


def test_what_just_keeps_a_limit_counts() -> None:
    for drop in (0.0, 0.001, 0.1):
        assert ends(Wish(max_quality_drop=drop))[0] < BASE["accuracy"] - drop


def test_a_larger_batch_may_take_longer() -> None:
    assert ends(Wish(batch_size=32)) == pytest.approx([0.882, 40.0 * 32, 25.0])
    assert ends(Wish(batch_size=1), batch_size=8) == pytest.approx(ends(ANYTHING))


@pytest.fixture
def history(make_record: Callable[..., TrialRecord]) -> History:
    found = History(GOALS)
    found.add(make_record(0, BASE))
    return found


@pytest.mark.parametrize(
    ("wish", "point", "batch_size", "holds"),
    [
        (ANYTHING, {"accuracy": 0.89}, 1, True),
        (ANYTHING, {"accuracy": 0.35, "latency_p95_ms": 0.01}, 1, False),
        (ANYTHING, {"latency_p95_ms": 400.0}, 64, True),
        (Wish(max_latency_ms=2.0), {"latency_p95_ms": 2.4}, 1, True),
        (Wish(max_latency_ms=2.0), {"latency_p95_ms": 2.6}, 1, False),
        (Wish(max_latency_ms=2.0, percentile="p99"), {"latency_p99_ms": 2.6}, 1, False),
        (Wish(max_quality_drop=0.02), {"accuracy": 0.96}, 1, True),
        (Wish(max_quality_drop=0.02), {"accuracy": 0.95}, 1, False),
        (Wish(min_quality=0.5), {"accuracy": 0.5}, 1, True),
        (Wish(batch_size=1), {}, 8, False),
    ],
)
def test_of_interest_is_what_nearly_keeps_the_wish(
    history: History,
    make_record: Callable[..., TrialRecord],
    wish: Wish,
    point: dict[str, float],
    batch_size: int,
    holds: bool,
) -> None:
    history.wish = wish
    record = make_record(1, BASE | {"latency_p99_ms": 4.0} | point, batch_size)
    assert history.is_of_interest(record) is holds
    assert record.measurement is not None
    again = Confirmed(1, record.measurement, 1.0, True)
    assert history.is_of_interest(again) is holds
    assert history.baseline is not None and history.is_of_interest(history.baseline)


def test_a_point_is_held_against_the_baseline_of_its_own_split(
    history: History, make_record: Callable[..., TrialRecord]
) -> None:
    point = make_record(1, BASE | {"accuracy": 0.87})
    assert not history.is_of_interest(point)
    assert history.is_of_interest(point, BASE | {"accuracy": 0.95})


def test_everything_is_of_interest_until_there_is_a_baseline(
    make_record: Callable[..., TrialRecord],
) -> None:
    assert History(GOALS).is_of_interest(make_record(3, {"accuracy": 0.1}))


def test_points_outside_the_wish_add_no_hypervolume(
    history: History, make_record: Callable[..., TrialRecord]
) -> None:
    history.wish = Wish(max_quality_drop=0.02)
    before = history.hypervolume
    history.add(make_record(1, BASE | {"accuracy": 0.9, "latency_p95_ms": 0.1}))
    assert history.frontier[-1].number == 1 and history.hypervolume == before
    assert before is not None and before > 0
    assert history.as_published().wish == history.wish


def frontier(space: SearchSpace, wish: Wish, **more: Any) -> FrontierStrategy:
    return FrontierStrategy(space, GOALS, wish=wish, **more)


@pytest.mark.parametrize("batch_size", [1, 8])
@pytest.mark.parametrize("seconds_per_trial", [math.inf, 0.0])
def test_other_batch_sizes_are_proposed_once_no_other_is_left(
    space: SearchSpace, batch_size: int, seconds_per_trial: float
) -> None:
    wish = Wish(batch_size=batch_size)
    chooser = frontier(space, wish, seconds_per_trial=lambda: seconds_per_trial)
    found = try_out(chooser, space.size)
    assert found[0] == space.baseline and set(found) == set(space.candidates())
    is_wished = [candidate.run.batch_size == batch_size for candidate in found[1:]]
    assert is_wished == sorted(is_wished, reverse=True)


def test_a_wish_steers_where_the_search_goes() -> None:
    space = SearchSpace.from_values(LARGE)
    base = metrics(space.baseline)
    wish = Wish(max_latency_ms=base["latency_p95_ms"] / 5, max_quality_drop=0.2)
    limits = wish.constraints(base, "accuracy")

    def share(wish: Wish) -> float:
        found = [metrics(candidate) for candidate in try_out(frontier(space, wish), 30)[12:]]
        return float(
            np.mean([all(one.violation(m[one.metric]) <= 0 for one in limits) for m in found])
        )

    assert share(wish) > 2 * share(ANYTHING)


def test_a_wish_out_of_reach_is_approached() -> None:
    """If no candidate is expected to count, the nearest are proposed."""
    space = SearchSpace.from_values(LARGE)
    everyone = sorted(metrics(candidate)["latency_p95_ms"] for candidate in space.candidates())
    wish = Wish(max_latency_ms=everyone[0] / 5, min_quality=0.1)
    found = [metrics(c)["latency_p95_ms"] for c in try_out(frontier(space, wish), 30)]
    assert everyone[0] in found
    assert np.median(found[10:]) < everyone[len(everyone) // 5]


def test_the_quality_of_builds_never_measured_is_doubted() -> None:
    space = SearchSpace.from_values(SMALL_SPACE)
    base = metrics(space.baseline)
    pool = list(space.candidates())
    means = np.tile([goal.loss(base[goal.metric]) for goal in GOALS], (len(pool), 1))
    means[:, 0] += 0.1
    doubted = doubts(pool, {space.baseline: base}, GOALS, "accuracy", means, base)
    is_new = [candidate.build != space.baseline.build for candidate in pool]
    assert doubted[:, 0] == pytest.approx(np.where(is_new, 0.04, 0.0))
    assert not doubted[:, 1:].any()


def test_a_wish_is_a_limit_to_the_samplers_of_optuna() -> None:
    space = SearchSpace.from_values(SMALL_SPACE)
    wish = Wish(max_quality_drop=0.01, batch_size=8)
    chooser = OptunaStrategy(space, GOALS, sampler="tpe", wish=wish)
    found = try_out(chooser, 12)
    base = metrics(found[0])
    kept = {
        tuple(sorted(trial.params.items())): trial.constraints
        for trial in chooser._study.trials
        if trial.values
    }
    for candidate in found:
        limits = kept[tuple(sorted(chooser._encode(candidate).items()))]
        assert (limits["batch_size"] <= 0) == (candidate.run.batch_size == 8)
        drop = base["accuracy"] - metrics(candidate)["accuracy"]
        assert limits["constraint_0"] == pytest.approx(drop - 0.01)


def test_a_file_says_it_and_a_search_says_it_otherwise(tmp_path: Path) -> None:
    path = write_study(tmp_path, wish={"max_latency_ms": 5, "min_accuracy": 0.9})
    wish = read_study_file(path).wish
    assert wish.to_wish([1, 8], {}) == Wish(max_latency_ms=5.0, min_quality=0.9)
    told = {"max_latency_ms": 2.0, "batch_size": 8, "percentile": "p99"}
    assert wish.to_wish([1, 8], told) == Wish(2.0, "p99", None, 0.9, 8)
    with pytest.raises(ConfigError, match=r"one of the space's, \[1, 8\]; got 3"):
        wish.to_wish([1, 8], {"batch_size": 3})


def test_mistakes_in_a_wish_are_reported_with_their_line(tmp_path: Path) -> None:
    wish = {"max_accuracy_drop": -0.1, "batch_sizes": 1}
    with pytest.raises(ConfigError) as told:
        read_study_file(write_study(tmp_path, wish=wish))
    assert "wish.max_accuracy_drop" in str(told.value) and "'batch_size'" in str(told.value)
    with pytest.raises(ConfigError, match=r"wish: the wish's batch size must be one"):
        read_study_file(write_study(tmp_path, wish={"batch_size": 5}))


@pytest.mark.slow
@pytest.mark.usefixtures("built")
def test_a_search_is_steered_and_says_so(tmp_path: Path) -> None:
    study: dict[str, Any] = {"space": BUILT_SPACE, "tracking": False}
    path = write_study(tmp_path, wish={"max_latency_ms": 1.5, "max_accuracy_drop": 0.5}, **study)
    done = run_paretune(
        "search", path, "--trials", "4", "--max-accuracy-drop", 0.05, "--batch-size", 8
    )
    assert done.returncode == 0, done.stdout + done.stderr
    wished = "wish: latency_p95_ms ≤ 1.5, a quality drop ≤ 0.05, batch size 8"
    assert wished in done.stdout
    history = load_history(path)
    assert history.wish == Wish(1.5, "p95", 0.05, None, 8)
    assert [record.candidate.run.batch_size for record in history.records] == [1, 8, 8, 8]
    assert history.baseline is not None
    floor = history.baseline.metrics["accuracy"] - 0.05 * 1.25
    told = run_paretune("status", path).stdout
    assert f"(log scale, from accuracy {floor:.4f}, latency_p95_ms {1.5 * 1.25:.4g}," in told

    # The wish is no part of what the study is: the next night may have another, or none.
    write_study(tmp_path, **study)
    done = run_paretune("search", path, "--trials", "5")
    assert done.returncode == 0 and "wish: " not in done.stdout, done.stdout + done.stderr
    assert load_history(path).wish == ANYTHING
    wrong = run_paretune("search", path, "--batch-size", "3")
    assert wrong.returncode == 2 and "one of the space's, [1, 8]; got 3" in wrong.stderr


def test_a_study_of_before_there_were_wishes_opens(iris_copy: Path) -> None:
    with sqlite3.connect(iris_copy.parent / "results" / "optuna.db") as storage:
        storage.execute("DELETE FROM study_user_attributes WHERE key = 'paretune_wish'")
    history = load_history(iris_copy)
    assert history.wish == ANYTHING and history.hypervolume is not None
    assert math.isfinite(history.hypervolume)
