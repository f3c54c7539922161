from typing import Any

import pytest

from paretune.runners.measure.launch_statistics import summarize
from paretune.runners.measure.measurement import Measurement
from paretune.runners.measure.protocol import is_tight, undisturbed
from paretune.runners.measure.statistic import Statistic
from paretune.runners.runtimes.launch import EndToEnd, Launch
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
    assert statistic.high == pytest.approx(2.0 + 4.302653 / 3**0.5, rel=1e-6)
    assert statistic.low == pytest.approx(2.0 - 4.302653 / 3**0.5, rel=1e-6)


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


def test_with_several_threads_the_quietest_launch_is_the_measure() -> None:
    sleeping, kept_waiting = launch((1.0,), 0.64), launch((1.0,), 0.5)
    two, one = (RunSpec("onnxruntime", "CPUExecutionProvider", 1, n) for n in (2, 1))
    assert undisturbed([sleeping, kept_waiting], two) == [sleeping]
    assert undisturbed([sleeping, kept_waiting], one) == []


def test_what_launches_cannot_show_widens_the_interval() -> None:
    narrow = Statistic.over_launches([1.0, 1.0, 1.0], resolution=0.01)
    assert (narrow.low, narrow.high) == (pytest.approx(0.99), pytest.approx(1.01))
    both = Statistic.over_launches([1.0, 2.0, 3.0], resolution=0.01)
    assert both.high == pytest.approx(2 + ((4.302653 / 3**0.5) ** 2 + 0.02**2) ** 0.5, rel=1e-6)


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
    whole = EndToEnd((1.0, 1.0), (2.0, 2.0), (5.0, 5.0))
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
