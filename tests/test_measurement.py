import pytest

from runners.measurement import Launch, Measurement, Statistic, summarize
from runners.protocol import is_tight, undisturbed
from runners.settings import MeasurementSettings
from spaces import RunSpec


def launch(latency_ms: tuple[float, ...], cpu_share: float = 1.0, switches: float = 0.0) -> Launch:
    return Launch(10.0, 2.0, 5, True, latency_ms, cpu_share, switches, 1000)


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
def test_disturbed_launches_are_told(cpu_share: float, switches: float, contaminated: bool) -> None:
    assert launch((1.0,), cpu_share, switches).is_contaminated() is contaminated


def test_with_several_threads_the_quietest_launch_is_the_measure() -> None:
    sleeping, kept_waiting = launch((1.0,), 0.64), launch((1.0,), 0.5)
    two, one = (RunSpec("onnxruntime", "CPUExecutionProvider", 1, n) for n in (2, 1))
    assert undisturbed([sleeping, kept_waiting], two) == [sleeping]
    assert undisturbed([sleeping, kept_waiting], one) == []


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
        run, "a", statistics, 3, 1, True, False, True, {"CPU": 4}, "b", {"cores": "2"}
    )
    assert Measurement.from_dict(measurement.as_dict()) == measurement
