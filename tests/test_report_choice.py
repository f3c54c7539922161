"""The report's page picks what `paretune pick` picks: its rule is run by a JavaScript engine."""

import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from py_mini_racer import MiniRacer

from paretune.runners.measure.statistic import Statistic
from paretune.search.deliver.choice import baseline, choose, equals, points
from paretune.search.deliver.report.pick_rule import pick_rule
from paretune.search.record.confirmed import Confirmed
from paretune.search.record.history import History
from paretune.search.record.objective import default_objectives
from paretune.search.record.trial import TrialRecord
from paretune.search.record.wish import Wish
from paretune.search.study.open_study import load_history
from paretune.spaces import BuildSpec, Quantization, StudyError

PAGE = Path(__file__).parents[1] / "search" / "deliver" / "report" / "page"
Make = Callable[..., TrialRecord]


class Page:
    """The page's rule on a study."""

    def __init__(self, history: History) -> None:
        self._engine = MiniRacer()
        self._engine.eval((PAGE / "choice.js").read_text("utf-8"))
        self._engine.eval(f"const rule = {json.dumps(pick_rule(history), allow_nan=False)};")

    def pick(self, wish: Wish) -> dict[str, Any]:
        values = wish.as_dict() | {"percentile": wish.percentile}
        found = self._engine.eval(f"JSON.stringify(pick(rule, {json.dumps(values)}))")
        return dict(json.loads(str(found)))


def wishes(history: History) -> Iterator[Wish]:
    """Yield wishes with limits at, between and beyond the points' own values."""
    pool = points(history)
    p95 = sorted(r.measurement.statistics["latency_p95_ms"].ends[1] for r in pool if r.measurement)
    drops: list[float | None] = [None]
    if baseline(history) is not None:
        drops += [0.0, 0.01, 0.05]
    budgets = [None, *p95[::6], p95[3] * 1.001, p95[0] / 2]
    sizes = [None, *sorted({record.candidate.run.batch_size for record in pool})]
    prefer = (None, "accuracy", "latency", "throughput", "size", "memory")
    for budget, drop, size in itertools.product(budgets, drops, sizes):
        yield from (Wish(budget, "p95", drop, batch_size=size, prefer=each) for each in prefer)  # type: ignore[arg-type]
    quality = np.median([record.metrics[history.quality_metric] for record in pool])
    for percentile in ("p50", "p90", "p95", "p99"):
        yield Wish(percentile=percentile, min_quality=float(quality))


def agreed(history: History) -> tuple[int, int]:
    """Compare page and command under every wish; return how often something fitted, and nothing."""
    page, some, none = Page(history), 0, 0
    known = pick_rule(history)["percentiles"]
    for wish in wishes(history):
        found = page.pick(wish)
        try:
            record = choose(history, wish)
        except StudyError:
            if wish.percentile in known:
                assert "picked" not in found, wish
            none += 1
            continue
        fitting = {point["number"] for point in found["fitting"]}
        pool = [each for each in points(history) if each.number in fitting]
        assert found["picked"]["number"] == record.number, wish
        assert {p["number"] for p in found["equals"]} == {
            each.number for each in equals(pool, history, wish)
        }, wish
        some += 1
    return some, none


def test_page_and_command_pick_the_same_in_a_real_study(iris_study: Path) -> None:
    some, none = agreed(load_history(iris_study))
    assert some > 100 and none > 0


@pytest.fixture
def crowd(make_record: Make, rng: np.random.Generator) -> History:
    """Forty points with intervals, some of them slower than the reference."""
    records = []
    for number in range(40):
        metrics = {
            "accuracy": round(0.9 + 0.01 * rng.standard_normal(), 2),
            "throughput_samples_per_s": float(rng.uniform(100, 1000)),
            "size_bytes": float(rng.choice([1e6, 2e6, 4e6])),
            "peak_memory_bytes": float(rng.uniform(1e8, 2e8)),
        }
        metrics |= {f"latency_p{q}_ms": float(rng.uniform(1, 10)) for q in (50, 90, 95, 99)}
        record = make_record(number, metrics, int(rng.choice([1, 8])))
        assert record.measurement is not None
        statistics = {
            name: Statistic(s.value, s.value * 0.97, s.value * 1.03)
            for name, s in record.measurement.statistics.items()
        }
        outcome = replace(record.measurement, statistics=statistics)
        scheme = Quantization.FP32 if number % 5 == 0 else Quantization.INT8_DYNAMIC
        candidate = replace(record.candidate, build=BuildSpec("reference", 0.0, scheme))
        records.append(replace(record, candidate=candidate, outcome=outcome))
    return History(default_objectives("accuracy"), records=records)


def confirmed(history: History, rng: np.random.Generator, draws: int) -> list[Confirmed]:
    shared = rng.standard_normal(draws)
    return [
        Confirmed(
            record.number,
            record.measurement,
            probability=0.5,
            is_published=True,
            resampled=tuple(
                record.metrics["accuracy"] + 0.01 * shared + 0.003 * rng.standard_normal(draws)
            ),
        )
        for record in history.records
        if record.measurement
    ]


def test_they_pick_the_same_before_a_confirmation(crowd: History) -> None:
    some, none = agreed(crowd)
    assert some > 300 and none > 0


def test_they_pick_the_same_by_the_paired_bootstrap(
    crowd: History, rng: np.random.Generator
) -> None:
    crowd.confirmed = confirmed(crowd, rng, 200)
    some, _ = agreed(crowd)
    assert some > 300
    # The pairs decide: without them, other points count as equal.
    rule = pick_rule(crowd)
    paired = Page(crowd).pick(Wish())["equals"]
    assert len(rule["pair_errors"]) == len(crowd.records)
    crowd.confirmed = confirmed(crowd, rng, 0)
    assert len(Page(crowd).pick(Wish())["equals"]) != len(paired)


def test_ticks_are_inside_the_axis_and_rise() -> None:
    engine = MiniRacer()
    engine.eval((PAGE / "chart.js").read_text("utf-8"))
    for low, high, is_log in [
        (0.8, 1.0, False),
        (0.012, 3.4, True),
        (2.0, 2.2, True),
        (0, 9, False),
    ]:
        ticks = json.loads(
            str(engine.eval(f"JSON.stringify(ticks({low}, {high}, {str(is_log).lower()}))"))
        )
        assert 2 <= len(ticks) <= 12 and ticks == sorted(set(ticks))
        assert all(low <= tick <= high for tick in ticks)
    # An interval that dwarfs the values does not hide them.
    low, high = json.loads(
        str(engine.eval("JSON.stringify(domain([[1, 0, 900], [2, 1, 3]], true))"))
    )
    assert 0.2 < low < 1 and 2 < high < 10
