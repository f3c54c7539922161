"""Checked capacity: the highest rate that keeps a budget, found by serving loads for real."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from paretune.runners.failure import Failure
from paretune.runners.measure.load.arrivals import Arrivals
from paretune.runners.measure.load.queue_model import Batching
from paretune.runners.measure.load.served_model import ServedModel
from paretune.runners.measure.statistic import RESOLUTION, Statistic
from paretune.runners.runtimes.serving.served import Served, ServeSettings
from paretune.spaces import StudyError

SHARES = (0.8, 0.9, 1.0, 1.1, 1.2)
"""Rates that each launch serves, as shares of where the capacity is expected. Chosen by judgement:
a prediction is meant to be within a tenth.
"""

_MOVES = 4
"""Launches that may be spent on finding where the capacity is. Chosen by judgement."""

_MOST = 4.0
"""Times the budget from which on it does not matter how much more it was. Chosen by judgement."""

_LEAST = 0.02
"""Prediction ÷ measured capacity below which it does not matter how much less it was: the model may
say that no rate keeps the budget. Chosen by judgement.
"""

DISTURBED_EXTRA = 3
"""Launches that may replace disturbed ones, as in a search."""

PERCENTILES = (50, 95, 99)
"""Percentiles of latency that a plan tells."""


@dataclass(frozen=True)
class CheckedCapacity:
    """A capacity that was measured under real load.

    Attributes:
        rate_per_s: The highest rate that keeps the budget, with its interval over launches.
        latency_ms: Percentiles of latency at that rate, by percentile.
        launches: Launches that count.
        disturbed: Loads during which something else took the instances' cores, of all that were
            served.
        loads: All loads that were served.
        is_disturbed: Whether disturbed launches count, because there were too few without
            disturbance, or launches that differ by more than the rates that each serves.
        model_ratio: The capacity that the queue model predicts from the calls of the same launch at
            its lowest rate, ÷ the measured one, over launches. How the machine's speed differs from
            launch to launch is not in it.
    """

    rate_per_s: Statistic
    latency_ms: dict[int, float]
    launches: int
    disturbed: int
    loads: int
    is_disturbed: bool
    model_ratio: Statistic


class _Launch(NamedTuple):
    """One launch.

    Attributes:
        rate_per_s: Its capacity.
        model_ratio: The capacity predicted from its own calls ÷ that.
        latency_ms: Latency at its capacity by percentile.
        disturbed: Loads that something disturbed.
        is_cut: Whether its capacity lies beyond the rates that were served.
    """

    rate_per_s: float
    model_ratio: float
    latency_ms: dict[int, float]
    disturbed: int
    is_cut: bool


def check_capacity(
    served: ServedModel,
    batching: Batching,
    expected_per_s: float,
    max_latency_ms: float,
    q: float,
    settings: ServeSettings,
    predict: Callable[[Served], float],
    *,
    launches: int,
    seconds: float,
    seed: int,
    told: Callable[[str], None] = lambda _: None,
) -> CheckedCapacity | Failure:
    """Serve Poisson arrivals around an expected capacity, and return the measured one.

    Each launch is a fresh process that serves all of :data:`SHARES` times the expected rate, in an
    order of its own, so that a drift of the machine favours no rate. The percentiles of a launch
    are made monotone in the rate (isotonic regression by pooling adjacent violators; Barlow et al.,
    "Statistical Inference under Order Restrictions", 1972), and its capacity is where they cross
    the budget, interpolated between logarithms. The interval is that of logarithms over launches.

    If all rates of a launch keep the budget, or none does, the expectation moves there first. If
    that would take it back, the machine's speed differs between launches by more than the rates do:
    then the launch counts with its last or first rate.

    Args:
        served: The model.
        batching: How requests are answered.
        expected_per_s: Where the capacity is expected.
        max_latency_ms: The budget.
        q: The percentile that keeps it.
        settings: How loads are served.
        predict: Returns the capacity that the queue model predicts from the calls of a load.
        launches: Launches that count.
        seconds: Seconds of each load.
        seed: Of the arrivals.
        told: Given a line after each launch.

    Raises:
        StudyError: If it is nowhere near, after some moves.
    """
    random = np.random.default_rng(seed)
    found: list[_Launch] = []
    moves = disturbed = loads = 0
    went_up: bool | None = None
    while len(found) < launches + DISTURBED_EXTRA:
        rates = [expected_per_s * SHARES[place] for place in random.permutation(len(SHARES))]
        seeds = random.integers(2**31, size=len(rates))
        times = [
            Arrivals.poisson(rate, seconds, int(each)).times_s
            for rate, each in zip(rates, seeds, strict=True)
        ]
        launch = served.serve(times, batching, settings)
        if isinstance(launch, Failure):
            return launch
        upset = sum(load.is_disturbed for load in launch.loads)
        loads, disturbed = loads + len(rates), disturbed + upset
        by_rate = sorted(zip(rates, launch.loads, strict=True), key=lambda pair: pair[0])
        crossing = crossing_rate(by_rate, max_latency_ms, q)
        is_outside = not isinstance(crossing, float)
        is_cut = is_outside and went_up is not None and crossing is not went_up
        if is_cut:
            crossing = by_rate[-1 if crossing else 0][0]
        if not isinstance(crossing, float):
            if moves == _MOVES:
                raise StudyError(
                    f"the capacity was not found in {moves} moves: "
                    f"{'every rate' if crossing else 'no rate'} around {expected_per_s:.4g} per "
                    f"second keeps {max_latency_ms:g} ms. Stop other work on this machine and try "
                    "again, or give another budget"
                )
            moves, went_up = moves + 1, crossing
            expected_per_s *= SHARES[-1] / SHARES[0] if crossing else SHARES[0] / SHARES[-1]
            told(f"the capacity is elsewhere: looking around {expected_per_s:.4g} per second")
            continue
        ratio = max(predict(by_rate[0][1]) / crossing, _LEAST)
        found.append(_Launch(crossing, ratio, _latency_at(by_rate, crossing), upset, is_cut))
        told(f"launch {len(found)}: {crossing:.4g} requests per second")
        if sum(not each.disturbed for each in found) >= launches:
            break
    # The least disturbed ones, if there are too few without disturbance.
    kept = sorted(found, key=lambda each: each.disturbed)[:launches]
    return CheckedCapacity(
        Statistic.geometric([each.rate_per_s for each in kept], RESOLUTION),
        {p: float(np.mean([each.latency_ms[p] for each in kept])) for p in PERCENTILES},
        len(kept),
        disturbed,
        loads,
        any(each.disturbed or each.is_cut for each in kept),
        Statistic.geometric([each.model_ratio for each in kept], RESOLUTION),
    )


def crossing_rate(
    by_rate: Sequence[tuple[float, Served]], max_latency_ms: float, q: float
) -> float | bool:
    """Return the rate at which a percentile of latency crosses a budget.

    Args:
        by_rate: What came of each rate, the lowest first.
        max_latency_ms: The budget.
        q: The percentile.

    Returns:
        The rate; ``True`` if all rates keep the budget, ``False`` if none does.
    """
    logs = _isotonic([_log_ms(load, q, max_latency_ms) for _, load in by_rate])
    budget = float(np.log(max_latency_ms))
    if logs[-1] <= budget:
        return True
    if logs[0] > budget:
        return False
    above = next(place for place, each in enumerate(logs) if each > budget)
    low, high = (float(np.log(by_rate[place][0])) for place in (above - 1, above))
    share = (budget - logs[above - 1]) / (logs[above] - logs[above - 1])
    return float(np.exp(low + share * (high - low)))


def _log_ms(load: Served, q: float, max_latency_ms: float) -> float:
    """Return the logarithm of a percentile, cut off far above the budget."""
    latency = load.percentile_ms(q)
    most = _MOST * max_latency_ms
    return float(np.log(most if latency is None else min(latency, most)))


def _isotonic(values: Sequence[float]) -> list[float]:
    from scipy.optimize import isotonic_regression

    return [float(each) for each in isotonic_regression(values).x]


def _latency_at(by_rate: Sequence[tuple[float, Served]], rate_per_s: float) -> dict[int, float]:
    """Return percentiles of latency at a rate, interpolated between those that were served."""
    rates = [float(np.log(rate)) for rate, _ in by_rate]
    found = {}
    for p in PERCENTILES:
        answered = [load.percentile_ms(p) for _, load in by_rate]
        most = max(each for each in answered if each is not None) if any(answered) else 0.0
        values = _isotonic([most if each is None else each for each in answered])
        found[p] = float(np.interp(np.log(rate_per_s), rates, values))
    return found
