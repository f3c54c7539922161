import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from paretune.runners.measure.campaign import Campaign, Entry, Launched
from paretune.runners.measure.launch_statistics import summarize
from paretune.runners.measure.measurement import Measurement
from paretune.runners.measure.protocol import is_tight, launches_needed, settle, undisturbed
from paretune.runners.measure.statistic import Statistic
from paretune.runners.metric import calls_for, percentile_of
from paretune.runners.runtimes.launch import EndToEnd, Launch, percentile
from paretune.runners.runtimes.onnxruntime_runner import OnnxRuntimeRunner
from paretune.runners.runtimes.proof import ProviderShare
from paretune.runners.runtimes.settings import MeasurementSettings
from paretune.spaces import RunSpec


def launch(
    latency_ms: tuple[float, ...],
    cpu_share: float = 1.0,
    switches: float = 0.0,
    canary_ms: float = 0.1,
    **more: Any,
) -> Launch:
    return Launch(10.0, 2.0, 5, True, latency_ms, cpu_share, 1.0, switches, 1000, canary_ms, **more)


def test_interval_is_students_t_over_launches() -> None:
    statistic = Statistic.over_launches([1.0, 2.0, 3.0])
    # t(0.975, 2 degrees of freedom) = 4.302653, standard error = 1/√3.
    assert statistic.value == 2.0
    half = 4.302653 / 3**0.5 / 2.0  # a share of the mean
    assert statistic.high == pytest.approx(2.0 * math.exp(half), rel=1e-6)
    assert statistic.low == pytest.approx(2.0 / math.exp(half), rel=1e-6)
    few = Statistic.over_launches([1.0, 3.0])
    assert few.low is not None and few.low > 0
    assert few.for_repetition().low == pytest.approx(2.0 * (few.low / 2.0) ** 2**0.5)
    assert Statistic.over_launches([0.0, 0.0]) == Statistic(0.0, 0.0, 0.0)


def test_one_launch_has_no_interval() -> None:
    assert Statistic.over_launches([1.0]) == Statistic(1.0, None, None)


def test_summary_is_over_launches_not_calls() -> None:
    fast, slow = launch((1.0,) * 100), launch((3.0,) * 10)
    statistics = summarize([fast, slow], batch_size=8)
    assert statistics["latency_p50_ms"].value == 2.0
    assert statistics["throughput_samples_per_s"].value == pytest.approx((8000 + 8000 / 3) / 2)


@pytest.mark.parametrize(
    ("cpu_share", "switches", "contaminated"),
    [(1.0, 0.0, False), (0.85, 0.0, True), (1.0, 0.2, True), (1.9, 0.05, False)],
)
def test_disturbed_launches_are_reported(
    cpu_share: float, switches: float, contaminated: bool
) -> None:
    assert launch((1.0,), cpu_share, switches).is_contaminated() is contaminated


def test_a_slow_model_may_be_interrupted_in_every_call() -> None:
    """The kernel's own threads interrupt a few times a second, however long a call takes."""
    second = {"cpu_time_ms": 1000.0}
    assert not replace(launch((1000.0,), switches=4.0), **second).is_contaminated()
    assert replace(launch((1000.0,), switches=40.0), **second).is_contaminated()


def test_a_launch_that_a_quota_stopped_is_disturbed() -> None:
    """With two threads as well: the CPU share of all launches may be equally low."""
    two = RunSpec("onnxruntime", "CPUExecutionProvider", 1, 2)
    stopped = launch((1.0,), 0.25, throttled_share=0.5)
    assert undisturbed([stopped, stopped], two) == []
    assert undisturbed([launch((1.0,), throttled_share=0.001)], two) != []


def test_with_several_threads_the_quietest_launch_is_the_measure() -> None:
    sleeping, kept_waiting = launch((1.0,), 0.64), launch((1.0,), 0.5)
    two, one = (RunSpec("onnxruntime", "CPUExecutionProvider", 1, n) for n in (2, 1))
    assert undisturbed([sleeping, kept_waiting], two) == [sleeping]
    assert undisturbed([sleeping, kept_waiting], one) == []


def test_what_launches_cannot_show_widens_the_interval() -> None:
    narrow = Statistic.over_launches([1.0, 1.0, 1.0], resolution=0.01)
    assert (narrow.low, narrow.high) == (pytest.approx(1 / math.exp(0.01)), math.exp(0.01))
    both = Statistic.over_launches([1.0, 2.0, 3.0], resolution=0.01)
    half = math.hypot(4.302653 / 3**0.5 / 2, 0.01)
    assert both.high == pytest.approx(2 * math.exp(half), rel=1e-6)


def test_a_canary_that_drifts_tells_a_slower_machine() -> None:
    run = RunSpec("onnxruntime", "CPUExecutionProvider", 1, 1)
    quick, slow = launch((1.0,)), launch((1.2,), canary_ms=0.12)
    assert undisturbed([quick, slow], run) == [quick]
    assert undisturbed([slow], run) == [slow]


def test_on_a_card_the_quietest_launch_says_how_much_the_processor_works() -> None:
    run = RunSpec("pytorch", "eager-cuda", 1, 1)
    assert undisturbed([launch((1.0,), 0.4)], run, "gpu:0") != []
    assert undisturbed([launch((1.0,), 0.4)], run, "cpu") == []


def test_end_to_end_load_and_energy_are_summarized_where_they_were_measured() -> None:
    whole = EndToEnd((1.0,) * 200, (2.0,) * 200, (5.0,) * 200)
    load = {"p50_ms": 1.0, "p90_ms": 2.0, "p95_ms": 3.0, "p99_ms": 9.0, "completed_per_s": 50.0}
    full = launch((1.0,), end_to_end=whole, load=load, energy_mj=7.0)
    statistics = summarize([full, full], 1)
    assert statistics["preprocess_latency_p50_ms"].value == 1.0
    assert statistics["postprocess_latency_p95_ms"].value == 2.0
    assert statistics["end_to_end_latency_p99_ms"].value == 5.0
    assert statistics["load_latency_p99_ms"].value == 9.0
    assert statistics["load_completed_per_s"].value == 50.0
    assert statistics["energy_mj"].value == 7.0
    assert statistics["cpu_time_ms"].value == 1.0
    bare = summarize([full, launch((1.0,))], 1)
    assert not {"energy_mj", "end_to_end_latency_p50_ms", "load_latency_p99_ms"} & set(bare)


def test_a_percentile_is_that_of_the_distribution() -> None:
    """On average over many launches of 40 calls; numpy's default would find the p93."""
    rng = np.random.default_rng(1)
    found = [percentile(rng.random(40).tolist(), 95) for _ in range(4000)]
    assert np.mean(found) == pytest.approx(0.95, abs=0.002)


def test_no_percentile_is_claimed_from_too_few_calls() -> None:
    assert [calls_for(q) for q in (50, 90, 95, 99)] == [1, 20, 40, 200]
    few = summarize([launch((1.0,) * 39)], 1)
    assert {"latency_p50_ms", "latency_p90_ms"} <= set(few)
    assert not {"latency_p95_ms", "latency_p99_ms"} & set(few)
    assert "latency_p95_ms" in summarize([launch((1.0,) * 40)], 1)
    assert "latency_p99_ms" in summarize([launch((1.0,) * 200)], 1)


def test_what_is_sought_gets_calls_enough() -> None:
    settings = MeasurementSettings(min_iterations=5, max_iterations=50)
    assert settings.claiming().min_iterations == 40
    assert settings.claiming(["accuracy", "latency_p50_ms"]).max_iterations == 50
    both = settings.claiming(["end_to_end_latency_p99_ms"])
    assert (both.min_iterations, both.max_iterations) == (200, 200)
    assert percentile_of("size_bytes") == percentile_of("my_latency_p99_ms") == 0


def test_the_number_of_launches_follows_from_the_first_few() -> None:
    """Looking after each launch stops where launches agree by luck: intervals then hold less."""
    rng = np.random.default_rng(7)
    settings = MeasurementSettings(
        launches=5, max_launches=40, p50_tolerance=0.03, p95_tolerance=1.0
    )
    covered = {"planned": 0, "looked": 0}
    turns = 1500
    for _ in range(turns):
        values = (1 + 0.04 * rng.standard_normal(40)).tolist()
        made = [launch((value,)) for value in values]
        looked = next(n for n in range(5, 41) if n == 40 or is_tight(made[:n], settings))
        planned = launches_needed(made[:5], settings)
        for way, count, first in (("planned", planned, 5), ("looked", looked, None)):
            low, high = Statistic.over_launches(values[:count], 0.0, first).ends
            covered[way] += low <= 1 <= high
    assert covered["planned"] / turns >= 0.94 > covered["looked"] / turns


def test_the_plan_has_a_minimum_and_a_maximum() -> None:
    settings = MeasurementSettings(launches=3, max_launches=9)
    assert launches_needed([launch((1.0,))] * 3, settings) == 3
    wild = [launch((value,)) for value in (1.0, 3.0, 9.0)]
    assert launches_needed(wild, settings) == 9
    never = replace(settings, p50_tolerance=0.005)  # below the resolution of times
    assert launches_needed([launch((v,)) for v in (1.0, 1.001, 1.002)], never) == 9


def test_a_slower_hour_does_not_disturb_a_campaigns_launches() -> None:
    run = RunSpec("onnxruntime", "CPUExecutionProvider", 1, 1)
    entries = [Entry("a", run), Entry("b", run)]
    settings = MeasurementSettings(launches=6, max_launches=6, extra_launches=0)
    campaign = Campaign({"onnxruntime": OnnxRuntimeRunner()}, settings, entries)
    # From the fourth round on the machine takes a fifth longer; in the last, "b" alone is slow.
    canaries = iter([1, 1, 1, 1, 1, 1, 1.2, 1.2, 1.2, 1.2, 1.2, 1.6])

    def slower(entry: Entry) -> Launched:
        own = 1.0 + len(entry.launches) / 1000  # no two launches are equal
        return Launched(launch((own,) * 40, canary_ms=next(canaries)), True)

    while campaign.round(slower):
        pass
    assert [campaign.timing(entry).contaminated for entry in entries] == [1, 2]
    # The quickest canary of the whole campaign would throw half of it out.
    alone = settle(entries[0].launches, run, "cpu", settings)
    assert alone.contaminated == 3


def test_launches_are_enough_when_their_intervals_are_tight() -> None:
    settings = MeasurementSettings(p50_tolerance=0.05, p95_tolerance=0.05)
    steady = [launch((1.0,) * 9), launch((1.01,) * 9), launch((0.99,) * 9)]
    assert is_tight(steady, settings)
    assert not is_tight([*steady[:2], launch((1.3,) * 9)], settings)
    assert not is_tight(steady[:1], settings)


def test_measurement_round_trips() -> None:
    run = RunSpec("onnxruntime", "CPUExecutionProvider", 1, 1)
    statistics = {"latency_p50_ms": Statistic(1.0, 0.9, 1.1)}
    measurement = Measurement(
        run=run,
        artifact="a",
        statistics=statistics,
        launches=3,
        contaminated_launches=1,
        is_steady=True,
        is_resolved=False,
        host_was_idle=True,
        canary_ms=0.1,
        providers={"CPUExecutionProvider": ProviderShare(4, 1.0, 1.0)},
        samples="b",
        environment={"cores": "2"},
    )
    assert Measurement.from_dict(measurement.as_dict()) == measurement
