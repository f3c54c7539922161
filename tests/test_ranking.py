"""The best of the points that keep a wish, and the points that count as equal."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, get_args

import numpy as np
import pytest

from paretune.runners.measure.statistic import Statistic
from paretune.search.cli.deliver.bundle import pick as pick_command
from paretune.search.deliver.choice import baseline, choose, equals, rank
from paretune.search.deliver.paired import quality_difference
from paretune.search.deliver.pick_text import gains_text, reason_text
from paretune.search.deliver.ranking import Ranking
from paretune.search.record.confirmed import Confirmed
from paretune.search.record.history import History
from paretune.search.record.objective import Constraint, default_objectives
from paretune.search.record.trial import TrialRecord
from paretune.search.record.wish import Preference, Wish
from paretune.spaces import Quantization, StudyError

Make = Callable[..., TrialRecord]
DRAWS = 200


def study(
    make_record: Make,
    qualities: Mapping[int, float],
    speeds: Mapping[int, Statistic],
    resampled: Mapping[int, tuple[float, ...]] | None = None,
    half: float = 0.013,
) -> History:
    """A confirmed study: qualities with wide intervals, p95 latencies, paired draws of quality."""
    history = History(default_objectives("accuracy"))
    for number, quality in qualities.items():
        latency = speeds[number]
        record = make_record(number, {"accuracy": quality, "latency_p95_ms": latency.value})
        history.add(record)
        assert record.measurement is not None
        statistics = {
            **record.measurement.statistics,
            "accuracy": Statistic(quality, quality - half, quality + half),
            "latency_p95_ms": latency,
        }
        measurement = replace(record.measurement, statistics=statistics)
        draws = (resampled or {}).get(number, ())
        history.confirmed.append(Confirmed(number, measurement, 1.0, True, resampled=draws))
    return history


def answers(rng: np.random.Generator, **rights: np.ndarray) -> dict[int, tuple[float, ...]]:
    """Accuracies on the same bootstrap samples, from what each point answers rightly."""
    count = len(next(iter(rights.values())))
    rows = rng.integers(count, size=(DRAWS, count))
    return {int(k[1:]): tuple(right[rows].mean(axis=1)) for k, right in rights.items()}


@pytest.fixture
def close(make_record: Make, rng: np.random.Generator) -> History:
    """The baseline, one sample better and slower, clearly worse and fastest, clearly better."""
    baseline_right = np.arange(450) >= 9
    one_more = baseline_right.copy()
    one_more[0] = True
    worse = np.arange(450) >= 40
    right = {"t0": baseline_right, "t1": one_more, "t2": worse}
    return study(
        make_record,
        {int(k[1:]): float(v.mean()) for k, v in right.items()},
        {
            0: Statistic(1.0, 0.99, 1.01),
            1: Statistic(2.0, 1.98, 2.02),
            2: Statistic(0.5, 0.49, 0.51),
        },
        answers(rng, **right),
    )


def test_the_command_offers_every_preference() -> None:
    [option] = [each for each in pick_command.params if each.name == "prefer"]
    assert tuple(option.type.choices) == get_args(Preference)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("wish", "expected"),
    [
        (Wish(), "accuracy"),
        (Wish(max_latency_ms=5), "accuracy"),
        (Wish(max_latency_ms=5, max_quality_drop=0.01), "accuracy"),
        (Wish(limits=(Constraint("size_bytes", maximum=1),)), "accuracy"),
        (Wish(batch_size=1), "accuracy"),
        (Wish(max_quality_drop=0.01), "latency"),
        (Wish(min_quality=0.9), "latency"),
        (Wish(limits=(Constraint("accuracy", minimum=0.9),)), "latency"),
        (
            Wish(min_quality=0.9, limits=(Constraint("throughput_samples_per_s", minimum=1),)),
            "accuracy",
        ),
        (Wish(max_quality_drop=0.01, prefer="accuracy"), "accuracy"),
        (Wish(max_latency_ms=5, prefer="size"), "size"),
    ],
)
def test_what_is_limited_decides_what_is_best(wish: Wish, expected: str) -> None:
    assert wish.preference == expected


def test_with_a_limit_on_quality_alone_the_fastest_that_keeps_it(history: History) -> None:
    base = history.baseline
    assert base is not None
    picked = choose(history, Wish(max_quality_drop=0.05))
    floor = base.metrics["accuracy"] - 0.05
    fits = [r for r in history.measured if r.metrics["accuracy"] >= floor]
    assert picked.metrics["latency_p95_ms"] == min(r.metrics["latency_p95_ms"] for r in fits)
    by_p50 = choose(history, Wish(max_quality_drop=0.05, percentile="p50"))
    assert by_p50.metrics["latency_p50_ms"] == min(r.metrics["latency_p50_ms"] for r in fits)


@pytest.fixture
def history(make_record: Make, rng: np.random.Generator) -> History:
    found = History(default_objectives("accuracy"))
    for number in range(60):
        metrics = {
            "accuracy": float(rng.integers(80, 100)) / 100,
            "latency_p95_ms": float(rng.random()) * 10,
            "latency_p50_ms": float(rng.random()) * 5,
            "throughput_samples_per_s": float(rng.random()) * 100,
            "size_bytes": float(rng.integers(1, 9)),
            "peak_memory_bytes": float(rng.random()) * 1e8,
        }
        found.add(make_record(number, metrics))
    return found


@pytest.mark.parametrize(
    ("prefer", "metric", "best"),
    [
        ("accuracy", "accuracy", max),
        ("latency", "latency_p95_ms", min),
        ("throughput", "throughput_samples_per_s", max),
        ("size", "size_bytes", min),
        ("memory", "peak_memory_bytes", min),
    ],
)
def test_what_is_preferred_is_best(
    history: History, prefer: Preference, metric: str, best: Callable[..., float]
) -> None:
    # Nothing has an interval here, so values are taken as they are.
    ranked = rank(history, Wish(prefer=prefer))
    assert len(ranked) == len(history.measured)
    values = [record.metrics[metric] for record in ranked]
    assert values == sorted(values, reverse=best is max)
    equal = [r for r in ranked if r.metrics[metric] == best(values)]
    other = "latency_p95_ms" if prefer == "accuracy" else "accuracy"
    others = [record.metrics[other] for record in equal]
    assert others[0] == (min if prefer == "accuracy" else max)(others)


def test_another_preference_is_refused(history: History) -> None:
    wish: Any = Wish(prefer="speed")  # type: ignore[arg-type]
    with pytest.raises(StudyError, match=r"prefer must be one of accuracy, .*; got 'speed'"):
        choose(history, wish)


def test_one_test_sample_more_does_not_outweigh_twice_the_speed(close: History) -> None:
    assert close.confirmed[1].metrics["accuracy"] > close.confirmed[0].metrics["accuracy"]
    ranked = rank(close, Wish())
    assert [record.number for record in ranked] == [0, 1, 2]
    tied = equals(ranked, close, Wish())
    assert [record.number for record in tied] == [1, 0]
    [text] = reason_text(ranked[0], tied, close, Wish())
    assert (
        "2 points cannot be told apart in accuracy" in text and "trial 1 has the best value" in text
    )


def test_the_rule_of_one_standard_error_by_brute_force(
    make_record: Make, rng: np.random.Generator
) -> None:
    skill = rng.uniform(0.9, 0.97, size=15)
    right = rng.random((15, 450)) < skill[:, None]
    draws = answers(rng, **{f"t{n}": row for n, row in enumerate(right)})
    speeds = {n: Statistic(float(v)) for n, v in enumerate(rng.uniform(1, 9, size=15))}
    history = study(make_record, dict(enumerate(right.mean(axis=1).tolist())), speeds, draws)
    value = {point.number: point.metrics for point in history.confirmed}

    def first_of(left: list[int]) -> int:
        best = max(left, key=lambda n: (value[n]["accuracy"], -value[n]["latency_p95_ms"]))
        equal = [
            n
            for n in left
            if value[best]["accuracy"] - value[n]["accuracy"]
            <= np.std(np.subtract(draws[best], draws[n]), ddof=1) * (1 + 2 / (2 * 199) ** 0.5)
        ]
        alone = [
            n
            for n in equal
            if not any(
                value[o]["accuracy"] > value[n]["accuracy"]
                and value[o]["latency_p95_ms"] < value[n]["latency_p95_ms"]
                for o in left
            )
        ]
        return min(alone, key=lambda n: value[n]["latency_p95_ms"])

    left, expected = list(range(15)), []
    while left:
        expected.append(first_of(left))
        left.remove(expected[-1])
    ranked = [record.number for record in rank(history, Wish())]
    assert ranked == expected
    assert ranked != sorted(range(15), key=lambda n: -value[n]["accuracy"])


def test_an_equal_that_another_beats_in_both_is_not_first(
    make_record: Make, rng: np.random.Generator
) -> None:
    # 2 differs from the best in a few samples and surely; 3 in many, and so perhaps not at all.
    best = np.arange(450) >= 20
    surely = best & (np.arange(450) < 446)
    noisy = best.copy()
    noisy[:20], noisy[200:226] = True, False
    right = {"t1": best, "t2": surely, "t3": noisy}
    qualities = {int(k[1:]): float(v.mean()) for k, v in right.items()}
    assert qualities[1] > qualities[2] > qualities[3]
    speeds = {1: Statistic(3.0), 2: Statistic(1.0), 3: Statistic(2.0)}
    history = study(make_record, qualities, speeds, answers(rng, **right))
    tied = equals(rank(history, Wish()), history, Wish())
    assert [record.number for record in tied] == [1, 3]
    assert choose(history, Wish()).number == 1


def test_without_draws_the_interval_of_the_best_tells(make_record: Make) -> None:
    speeds = {n: Statistic(v) for n, v in enumerate((3.0, 2.0, 1.0))}
    # Half of a 95 % interval is 1.96 standard errors: here one is 0.01.
    history = study(make_record, {0: 0.95, 1: 0.942, 2: 0.938}, speeds, half=0.0196)
    assert [record.number for record in rank(history, Wish())] == [1, 0, 2]
    exact = study(make_record, {0: 0.95, 1: 0.942, 2: 0.938}, speeds, half=0.0)
    assert [record.number for record in rank(exact, Wish())] == [0, 1, 2]


def test_equally_fast_points_are_chosen_by_quality(make_record: Make) -> None:
    speeds = {
        0: Statistic(1.00, 0.97, 1.03),
        1: Statistic(1.01, 0.98, 1.04),
        2: Statistic(1.10, 1.07, 1.13),
    }
    history = study(make_record, {0: 0.90, 1: 0.95, 2: 0.99}, speeds)
    ranked = rank(history, Wish(prefer="latency"))
    assert [record.number for record in ranked] == [1, 0, 2]
    told = reason_text(
        ranked[0], equals(ranked, history, Wish(min_quality=0)), history, Wish(min_quality=0)
    )
    assert "--prefer accuracy" in told[0]
    assert "2 points cannot be told apart in latency" in told[1]
    assert told[1].endswith("One of them is your unchanged model: no gain was shown")
    history.confirmed[1] = replace(history.confirmed[1], same_as=2)
    told = reason_text(ranked[0], [], history, Wish(min_quality=0))
    assert told[1] == "it cannot be told apart from trial 2, whose row stands for both"


def test_no_points_have_no_order() -> None:
    none = Ranking([], History(default_objectives("accuracy")), "accuracy", "latency_p95_ms")
    assert none.order() == none.equals() == []


def test_a_limit_on_quality_applies_to_the_value_and_the_drop_has_its_interval(
    close: History,
) -> None:
    # Every interval of accuracy is wider than the drop: at its end not even the baseline kept it.
    assert choose(close, Wish(max_quality_drop=0.001)).number == 0
    better = next(r for r in rank(close, Wish()) if r.number == 1)
    drop = quality_difference(close, 0, 1)
    assert drop is not None and drop.value == pytest.approx(-1 / 450)
    assert drop.ends[0] <= drop.value <= drop.ends[1] <= 0
    assert drop.ends[1] - drop.ends[0] < 0.013  # paired: narrower than either interval
    gains, sure, way = gains_text(better, close)
    assert "2 × slower (latency_p95_ms; 95 %: 1.97 … 2.03)" in gains
    assert "accuracy +0.0022" in gains
    assert "accuracy change +0.0022 (95 %: " in sure
    assert way.startswith("the gains include another way to run: ")
    assert gains_text(rank(close, Wish())[0], close) == []  # the baseline itself


def test_a_quality_that_could_not_be_resampled_has_no_interval(make_record: Make) -> None:
    constant = {0: (0.9,) * DRAWS, 1: (0.8,) * DRAWS}
    speeds = {0: Statistic(1.0), 1: Statistic(2.0)}
    history = study(make_record, {0: 0.9, 1: 0.8}, speeds, constant)
    assert quality_difference(history, 0, 1) is None
    assert quality_difference(study(make_record, {0: 0.9, 1: 0.8}, speeds), 0, 1) is None


def test_fresh_points_do_not_compare_with_the_searchs_baseline(make_record: Make) -> None:
    speeds = {0: Statistic(1.0), 1: Statistic(1.0)}
    history = study(make_record, {0: 0.9, 1: 0.8}, speeds)
    history.confirmed = history.confirmed[1:]
    assert baseline(history) is None
    with pytest.raises(StudyError, match="no confirmed baseline"):
        choose(history, Wish(max_quality_drop=0.1))
    limited = study(make_record, {0: 0.9, 1: 0.8}, speeds)
    limited = History(
        limited.objectives, [Constraint("accuracy", maximum=0.85)], records=limited.records
    )
    limited.confirmed = study(make_record, {0: 0.7, 1: 0.8}, speeds).confirmed
    base = baseline(limited)
    assert base is not None and base.metrics["accuracy"] == 0.7  # it breaks no limit of ours: fresh


def test_a_metric_that_only_some_points_have(make_record: Make) -> None:
    history = History(default_objectives("accuracy"))
    for number, energy in enumerate((None, 5.0, 7.0)):
        record = make_record(number, {"accuracy": 0.9})
        assert record.measurement is not None
        statistics = dict(record.measurement.statistics)
        del statistics["energy_mj"]
        if energy is not None:
            statistics["energy_mj"] = Statistic(energy)
        history.add(replace(record, outcome=replace(record.measurement, statistics=statistics)))
    limit = Constraint("energy_mj", maximum=6.0)
    assert [r.number for r in rank(history, Wish(limits=(limit,)))] == [1]
    with pytest.raises(StudyError) as caught:
        choose(history, Wish(limits=(Constraint("energy_mj", maximum=1.0),)))
    message = str(caught.value)
    assert "energy_mj was not recorded for 1 of 3 points" in message
    assert "the best is 5 (trial 1" in message


def compressed(record: TrialRecord) -> TrialRecord:
    build = replace(record.candidate.build, quantization=Quantization.INT8_WEIGHT)
    return replace(record, candidate=replace(record.candidate, build=build))


def confirm(history: History, **fresh: dict[str, float]) -> None:
    for name, values in fresh.items():
        number = int(name[1:])
        measurement = next(r for r in history.records if r.number == number).measurement
        assert measurement is not None
        statistics = {k: Statistic(v) for k, v in (measurement.metrics | values).items()}
        measurement = replace(measurement, statistics=statistics)
        history.confirmed.append(Confirmed(number, measurement, 1.0, True))


def test_fresh_values_are_compared_with_fresh_ones_of_the_reference(make_record: Make) -> None:
    history = History(default_objectives("accuracy"))
    history.add(make_record(0, {"accuracy": 0.8, "latency_p95_ms": 1.0}))
    history.add(compressed(make_record(1, {"accuracy": 0.9, "latency_p95_ms": 0.9})))
    # The machine is slower as a whole: 1.1 is slower than the reference was, and faster than it is.
    confirm(history, t0={"latency_p95_ms": 1.3}, t1={"latency_p95_ms": 1.1})
    assert choose(history, Wish()).number == 1
    history.confirmed.clear()
    confirm(history, t0={"latency_p95_ms": 0.8}, t1={"latency_p95_ms": 0.85})
    assert choose(history, Wish()).number == 0


def test_another_batch_size_without_a_fresh_reference(make_record: Make) -> None:
    base = make_record(0, {"accuracy": 0.8, "throughput_samples_per_s": 100.0})
    same_size = make_record(2, {"accuracy": 0.8, "latency_p95_ms": 4.0}, batch_size=8)
    point = compressed(
        make_record(
            1,
            {"accuracy": 0.9, "latency_p95_ms": 5.0, "throughput_samples_per_s": 300.0},
            batch_size=8,
        )
    )
    history = History(default_objectives("accuracy"), records=[base, point, same_size])
    # By the search's values of both it is slower, although its fresh value is lower than those.
    confirm(history, t0={}, t1={"latency_p95_ms": 3.0})
    assert choose(history, Wish()).number == 0
    # Where the search has no reference of that size either: against the baseline, per sample.
    history = History(default_objectives("accuracy"), records=[base, point])
    confirm(history, t0={}, t1={})
    assert choose(history, Wish()).number == 1
    history.confirmed.clear()
    confirm(history, t0={}, t1={"throughput_samples_per_s": 90.0})
    assert choose(history, Wish()).number == 0
