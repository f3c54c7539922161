"""The queue model against what queueing theory and a pencil say."""

import itertools
import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from paretune.runners.measure.load.arrivals import Arrivals
from paretune.runners.measure.load.call_times import CallTimes, Pace
from paretune.runners.measure.load.checked_capacity import check_capacity, crossing_rate
from paretune.runners.measure.load.queue_model import (
    Batching,
    capacity_per_s,
    highest_rate,
    simulate,
)
from paretune.runners.runtimes.serving.served import Served, ServeSettings
from paretune.search.deliver.capacity.bursts import headroom, share_of
from paretune.search.deliver.capacity.question import CapacityQuestion
from paretune.spaces import StudyError


def steady(**ms_by_size: float) -> CallTimes:
    """Return calls that always take the same time: ``of_1=10.0`` for one request."""
    return CallTimes({int(n[3:]): [np.full(20, ms)] for n, ms in ms_by_size.items()})


def served(latency_ms: float, unanswered: int = 0) -> Served:
    """Return a load whose requests all had about the same latency."""
    latency = np.linspace(latency_ms, latency_ms * 1.0001, 300)
    empty = np.zeros(0)
    return Served(latency, empty, empty.astype(np.int64), empty, empty, unanswered, 0.0)


def test_latencies_by_hand() -> None:
    times_s = np.array([0.0, 0.001, 0.002, 0.020])
    one = simulate(times_s, steady(of_1=5.0), Batching())
    assert one.tolist() == pytest.approx([5.0, 9.0, 13.0, 5.0])
    two = simulate(times_s, steady(of_1=5.0), Batching(instances=2))
    assert two.tolist() == pytest.approx([5.0, 5.0, 8.0, 5.0])
    # The second and the third request wait for the first call, and then go together.
    batches = simulate(times_s, steady(of_1=5.0, of_2=6.0), Batching(max_batch=2))
    assert batches.tolist() == pytest.approx([5.0, 10.0, 9.0, 5.0])


def test_a_queue_delay_ends_when_the_batch_is_full() -> None:
    times_s = np.array([0.0, 0.001, 0.010])
    found = simulate(times_s, steady(of_1=5.0, of_2=6.0), Batching(max_batch=2, queue_delay_ms=3.0))
    # The first two start when the second arrives; no other joins the third before its delay ends.
    assert found.tolist() == pytest.approx([7.0, 6.0, 8.0])


def paced(*ratios: float, late_ms: float = 0.0) -> CallTimes:
    """Calls of 4 ms, each times the next ratio."""
    return CallTimes({1: [np.full(20, 4.0)]}, paces=[Pace(np.array(ratios), np.array([late_ms]))])


def test_an_instance_that_slept_wakes_late() -> None:
    found = simulate(np.array([1.0, 2.0, 2.001]), paced(1.5, late_ms=0.25), Batching())
    assert found.tolist() == pytest.approx([6.25, 6.25, 11.25])


def test_slow_calls_come_in_groups() -> None:
    times_s = Arrivals.poisson(100.0, 100.0, seed=1).times_s
    ratios = np.where(np.arange(1000) % 100 < 90, 1.0, 3.0)  # ten of a hundred calls in a row
    together = simulate(times_s, paced(*ratios), Batching())
    apart = simulate(times_s, paced(*np.random.default_rng(0).permutation(ratios)), Batching())
    assert np.percentile(together, 99) > 1.5 * np.percentile(apart, 99)


def test_one_server_as_in_theory() -> None:
    # M/M/1: latency is exponential with the rate mu - lambda.
    calls = CallTimes({1: [np.random.default_rng(0).exponential(10.0, 100_000)]})
    times_s = Arrivals.poisson(60.0, 3000.0, seed=1).times_s
    found = simulate(times_s, calls, Batching(), seed=2)
    assert found.mean() == pytest.approx(1e3 / 40, rel=0.05)
    assert np.percentile(found, 99) == pytest.approx(1e3 * math.log(100) / 40, rel=0.1)


def test_two_servers_as_in_theory() -> None:
    # M/M/2 by Erlang's C formula: load 1.2, so the wait is C / (2 mu - lambda).
    calls = CallTimes({1: [np.random.default_rng(0).exponential(10.0, 100_000)]})
    times_s = Arrivals.poisson(120.0, 1500.0, seed=1).times_s
    load = 1.2
    queued = load**2 / 2 / (1 - load / 2)
    erlang_c = queued / (1 + load + queued)
    found = simulate(times_s, calls, Batching(instances=2), seed=2)
    assert found.mean() == pytest.approx(10.0 + 1e3 * erlang_c / (200 - 120), rel=0.05)


def test_the_capacity_of_one_server_as_in_theory() -> None:
    calls = CallTimes({1: [np.random.default_rng(0).exponential(10.0, 100_000)]})
    found = capacity_per_s(calls, Batching(), 200.0, 99, requests=50_000)
    assert found == pytest.approx(100 - math.log(100) / 0.2, rel=0.04)


def test_batches_hold_more_when_they_cost_little() -> None:
    calls = steady(of_1=10.0, of_8=17.0)
    alone = capacity_per_s(calls, Batching(), 50.0, 99, 3000)
    together = capacity_per_s(calls, Batching(max_batch=8), 50.0, 99, 3000)
    assert together > 2 * alone
    # A model with a fixed batch pays for a full one each time.
    filled = CallTimes(calls.by_size, is_filled=True)
    assert capacity_per_s(filled, Batching(max_batch=8), 50.0, 99, 3000) < together


def test_a_budget_below_one_call_has_no_capacity() -> None:
    assert capacity_per_s(steady(of_1=10.0), Batching(), 9.0, 99, 1000) == 0.0


def test_sizes_between_measured_ones_are_interpolated() -> None:
    table = steady(of_1=10.0, of_4=16.0).table(4)
    assert [len(table), *(row[0] for row in table[1:])] == pytest.approx(
        [5, 0.010, 0.012, 0.014, 0.016]
    )
    only_four = steady(of_4=16.0).table(4)
    assert [row[0] for row in only_four[1:]] == pytest.approx([0.016] * 4)


def test_the_highest_value_that_keeps_a_limit() -> None:
    assert highest_rate(lambda rate: rate <= 63.0, 100.0) == pytest.approx(63.0, rel=0.01)
    assert highest_rate(lambda rate: 20.0 <= rate <= 63.0, 100.0) == pytest.approx(63.0, rel=0.01)
    assert highest_rate(lambda _: False, 100.0) == 0.0


def test_where_served_rates_cross_a_budget() -> None:
    rates = [(100.0, served(10.0)), (110.0, served(15.0)), (120.0, served(40.0))]
    found = crossing_rate(rates, 20.0, 99)
    assert isinstance(found, float) and 110.0 < found < 120.0
    assert crossing_rate(rates, 50.0, 99) is True
    assert crossing_rate(rates, 5.0, 99) is False
    # Unanswered requests are late ones; one rate that was lucky does not decide.
    lucky = [(100.0, served(30.0)), (110.0, served(5.0)), (120.0, served(10.0, unanswered=200))]
    found = crossing_rate(lucky, 20.0, 99)
    assert isinstance(found, float) and 110.0 < found < 120.0


class Changing:
    """A machine of another speed in each launch: a latency of 20 ms at its capacity."""

    def __init__(self, *capacities: float) -> None:
        self._capacities = itertools.cycle(capacities)

    def serve(self, loads: Any, *_: object) -> Any:
        """Return loads whose latency grows with their rate."""
        capacity = next(self._capacities)
        rates = [len(times_s) / 100.0 for times_s in loads]
        return SimpleNamespace(loads=[served(20.0 * rate / capacity) for rate in rates])


def checked(served_model: Any) -> Any:
    return check_capacity(
        served_model,
        Batching(),
        70.0,
        20.0,
        99,
        ServeSettings(),
        lambda load: 70.0,
        launches=4,
        seconds=100.0,
        seed=0,
    )


def test_a_check_goes_to_where_the_capacity_is() -> None:
    found = checked(Changing(120.0))
    assert found.rate_per_s.value == pytest.approx(120.0, rel=0.05)
    assert found.launches == 4 and not found.is_disturbed
    with pytest.raises(StudyError, match="not found in 4 moves"):
        checked(Changing(10_000.0))


def test_a_machine_that_changes_between_launches_is_told_and_ends_no_check() -> None:
    found = checked(Changing(40.0, 200.0))
    assert found.is_disturbed and 40.0 < found.rate_per_s.value < 200.0
    low, high = found.rate_per_s.ends
    assert low < found.rate_per_s.value < high


def test_a_percentile_counts_requests_without_an_answer() -> None:
    load = served(10.0, unanswered=100)  # a quarter of all
    assert load.percentile_ms(50) == pytest.approx(10.0, rel=0.01)
    assert load.percentile_ms(99) is None


def test_headroom_ends_where_a_burst_cannot_be_answered() -> None:
    # 100 a second are answered: a burst of one second has room for 100 and what the budget adds.
    found = headroom(steady(of_1=10.0), Batching(), 50.0, CapacityQuestion(100.0))
    assert 1.2 < found <= 110 / 50
    wide = headroom(steady(of_1=10.0), Batching(), 10.0, CapacityQuestion(100.0))
    assert wide > 2 * found
    # So many requests are not simulated: what is answered in a second and the budget is the limit.
    fast = headroom(steady(of_1=0.1), Batching(), 5000.0, CapacityQuestion(100.0))
    assert fast == pytest.approx(10_000 * 1.1 / 5000)


def test_a_replica_gets_its_share_of_a_trace() -> None:
    trace = Arrivals("trace", np.arange(0, 100, 0.5), 100.0)
    part = share_of(trace, 2)
    assert part.times_s[:3].tolist() == [0.0, 1.0, 2.0] and part.seconds == 60.0
    assert part.times_s[-1] <= 60.0 and part.name == "trace, 1 request in 2, its first 60 s"
    assert share_of(Arrivals("short", np.arange(3.0), 3.0), 1).name == "short"
