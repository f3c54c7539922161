"""What measured times of a service mean: as promised, slower, faster, or not at that rate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from paretune.runners.measure.statistic import Statistic
from paretune.runners.metric import MEDIAN_LATENCY
from paretune.search.deliver.live.live_record import LiveRecord
from paretune.search.deliver.live.one_client import OneClient
from paretune.search.deliver.live.open_loop import OfferedLoad
from paretune.search.deliver.verification import Verdict, judge_times

_MOST_LATENESS = 0.1
"""Share of the budget by which a client may send late, at the budget's percentile; beyond it, the
client's own lateness decides. Chosen by judgement.
"""


@dataclass(frozen=True)
class Budget:
    """A latency budget of a request.

    Attributes:
        max_latency_ms: The most that the percentile may be.
        percentile: The percentile.
        source: Who said so.
    """

    max_latency_ms: float
    percentile: int
    source: str

    @property
    def words(self) -> str:
        """The budget in words."""
        return f"p{self.percentile} of at most {self.max_latency_ms:g} ms ({self.source})"


def judge_client(
    clients: Sequence[OneClient],
    record: LiveRecord | None,
    budget: Budget | None,
    model_ms: Statistic | None,
    measured_batch: int,
) -> tuple[Verdict, str]:
    """Return what the times of one client mean, and why.

    The smallest request must keep the budget. With saved times, the intervals of p50 and p95 of
    each size of a request are compared. Without, a request of the measured batch cannot be faster
    than the model alone.

    Args:
        clients: The times, by size of a request, the smallest first.
        record: The saved times.
        budget: The budget.
        model_ms: The model's own p50 per call of the measured batch.
        measured_batch: Samples of such a call.
    """
    if budget is not None:
        first = clients[0]
        now = first.latency(budget.percentile)
        if now is not None and now.ends[0] > budget.max_latency_ms:
            return (
                Verdict.OVER_BUDGET,
                f"even one client has a p{budget.percentile} of {now.value:.3g} ms, and the budget "
                f"is {budget.words}",
            )
    if record is not None:
        return judge_record(clients, record)
    for each in clients:
        if model_ms is not None and each.size == measured_batch:
            now = each.statistics[MEDIAN_LATENCY]
            if now.ends[1] < model_ms.ends[0]:
                return (
                    Verdict.FASTER,
                    f"an answer takes {now.value:.3g} ms, less than the model alone by the "
                    f"manifest ({model_ms.value:.3g} ms): a faster machine, or a cache",
                )
    if budget is not None:
        return Verdict.AS_PROMISED, "the answers are the bundle's, and one client keeps the budget"
    return (
        Verdict.AS_PROMISED,
        "the answers are the bundle's; nothing says how slow the service may be (pass "
        "--max-p99-ms, or --save its times now to compare with later)",
    )


def judge_record(clients: Sequence[OneClient], record: LiveRecord) -> tuple[Verdict, str]:
    """Return whether the times of one client are the saved ones, and why not."""
    found = (Verdict.AS_PROMISED, f"times are those of {record.measured_at}, when they were saved")
    for each in clients:
        then = record.latencies.get(each.size)
        if then is None or set(then) != set(each.statistics) or len(then) < 2:
            continue
        verdict, text = judge_times(then, each.statistics)
        text = f"requests of {each.size}: {text.replace('promised', 'saved')}"
        if verdict is Verdict.SLOWER:
            return verdict, text
        if verdict is Verdict.FASTER:
            found = (verdict, text)
    return found


def judge_load(load: OfferedLoad, budget: Budget) -> tuple[Verdict, str]:
    """Return whether a service holds a rate within a budget, and why.

    It does not hold it if the whole interval of the percentile is beyond the budget, so that a
    promise is not called broken by chance; if only the value is, nothing can be told. Requests
    without an answer count as too late.
    """
    q = budget.percentile
    now = load.latency(q)
    low, high = now.ends
    text = (
        f"at {load.rate_per_s:.4g} requests per second the p{q} is {now.value:.3g} ms "
        f"({low:.3g} to {high:.3g}), and the budget {budget.max_latency_ms:g} ms"
    )
    if load.failed:
        text += f"; {load.failed} of {len(load.latency_ms)} requests had no answer, the first "
        text += f"because {load.first_failure}"
    late = float(np.percentile(load.lateness_ms, q)) if len(load.lateness_ms) else 0.0
    if now.value <= budget.max_latency_ms:
        return Verdict.AS_PROMISED, text
    if late > _MOST_LATENESS * budget.max_latency_ms:
        return (
            Verdict.CANNOT_TELL,
            f"{text}; but the client itself sent late, by {late:.3g} ms at its p{q}: run it on "
            "another machine than the server, or at a lower rate",
        )
    if low <= budget.max_latency_ms:
        return (
            Verdict.CANNOT_TELL,
            f"{text}; the budget is within the interval, so only a longer load (--seconds) tells",
        )
    return Verdict.NOT_AT_RATE, text
