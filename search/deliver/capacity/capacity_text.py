"""What was found about a model's capacity, in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.table import Table

from paretune.runners.measure.statistic import Statistic
from paretune.search.deliver.capacity.answer import Capacity, LatencyUnder, Way
from paretune.search.deliver.capacity.question import CapacityQuestion


def ways_table(capacity: Capacity) -> Table:
    """Return the table of the ways that were tried.

    ``alone`` is one instance with as many threads and the same batch; ``together`` means that all
    instances work.
    """
    q, budget = capacity.question.percentile, capacity.question.max_latency_ms
    table = Table()
    for name in ("instances", "threads", "batch", "p50 ms alone", "p50 ms together"):
        table.add_column(name, justify="right")
    for name in ("p95 ms together", "samples/s", f"p{q} ≤ {budget:g} ms up to"):
        table.add_column(name, justify="right")
    alone = {
        (way.threads, way.batch_size): way.latency_p50_ms
        for way in capacity.ways
        if way.instances == 1
    }
    for way in capacity.ways:
        one = alone.get((way.threads, way.batch_size))
        numbers = [way.latency_p50_ms, way.latency_p95_ms, way.samples_per_s]
        table.add_row(
            *map(str, (way.instances, way.threads, way.batch_size)),
            "" if one is None else f"{one:.4g}",
            *(f"{number:.4g}" for number in numbers),
            f"{way.capacity_per_s:.4g}/s" if way.capacity_per_s else "never",
        )
    return table


def capacity_lines(capacity: Capacity) -> list[str]:
    """Return what was found, in sentences."""
    plan, question = capacity.plan, capacity.question
    q, budget = f"p{plan.percentile}", f"{plan.max_latency_ms:g} ms"
    best = capacity.best
    delay = f", waiting up to {plan.queue_delay_ms:.3g} ms for more" if plan.queue_delay_ms else ""
    told = "measured" if plan.is_measured else "predicted, not checked"
    lines = [
        *_bests(capacity),
        f"capacity of one replica with {best.words}{delay}, at {q} ≤ {budget}: "
        f"{_rate(plan.capacity_per_s)} ({told})",
    ]
    lines += _in_short_loads(capacity)
    at = ", ".join(f"p{p} {value:.3g} ms" for p, value in plan.latency_ms.items())
    where = "at the measured rate, in those loads" if plan.is_measured else "at that rate"
    lines.append(f"  latency {where}: {at}")
    knee = capacity.knee
    lines.append(
        f"the knee: up to {knee.rate_per_s:.4g} per second, rate grows faster than latency "
        f"(predicted there: mean {knee.mean_ms:.3g} ms, {q} {knee.percentile_ms:.3g} ms)"
    )
    lines += _scaling(capacity)
    lines += [_under_text(each, question) for each in capacity.under]
    if capacity.is_disturbed:
        lines.append(
            "note: something else used this machine meanwhile, so these figures are rough; run the "
            "command again when it is quiet"
        )
    return lines


def _in_short_loads(capacity: Capacity) -> Iterator[str]:
    """Yield what was predicted and measured in short loads, and what one without end costs."""
    predicted, checked = capacity.predicted, capacity.checked
    loads, share = f"in loads of {predicted.seconds:.3g} s", predicted.endless_share
    costs = (
        f"in a load without end, queues have time to grow: the capacity is {share:.2f} × that, by "
        "the model of the queue"
    )
    if checked is None:
        yield f"  {loads}: {_rate(predicted.per_s)}; {costs}"
        return
    ratio, own = predicted.per_s.value / checked.rate_per_s.value, checked.model_ratio
    yield f"  measured {loads}: {_rate(checked.rate_per_s)}; {costs}"
    yield (
        f"  predicted from times of calls: {_rate(predicted.per_s)}, {ratio:.2f} × the measured one"
    )
    yield (
        f"  predicted from calls of the same launch: {own.value:.2f} × ({_ends(own)}): what the "
        "model of the queue is off by, without the machine's changes between launches"
    )


def _bests(capacity: Capacity) -> list[str]:
    latency, throughput, best = (
        capacity.best_latency,
        capacity.best_throughput,
        capacity.best,
    )
    return [
        f"best for latency:    {latency.words}: p95 {latency.latency_p95_ms:.3g} ms",
        f"best for throughput: {throughput.words}: {throughput.samples_per_s:.4g} per second",
        f"best for capacity:   {best.words}" + _also(best, (latency, throughput)),
    ]


def _also(best: Way, others: Sequence[Way]) -> str:
    return "" if best in others else " (neither of them)"


def _scaling(capacity: Capacity) -> list[str]:
    """Return replicas, price, headroom, and what it takes to start one more replica."""
    question, usual = capacity.question, capacity.usual_per_s
    lines = []
    if question.rate_per_s is not None:
        count = capacity.replicas
        lines.append(
            f"replicas for {question.rate_per_s:g} per second: {count}, of {capacity.plan.cores} "
            f"core(s) each, by the lower end of the interval"
        )
    if capacity.price_per_hour is not None and capacity.price_per_million is not None:
        at = "at that rate" if question.rate_per_s is not None else "at the capacity"
        lines.append(
            f"price: {capacity.price_per_hour:.4g} per hour, {capacity.price_per_million:.4g} per "
            f"million requests {at}"
        )
    whose = "the given rate" if question.rate_per_s is not None else "half of the capacity"
    lines.append(
        f"headroom: at {usual:.4g} per second and replica ({whose}), a burst of one second in ten "
        f"may have {capacity.headroom:.3g} times the usual rate (predicted)"
    )
    start = capacity.start_ms
    lines.append(
        f"scaling out: a process answers {start.value / 1e3:.3g} s after its start "
        f"({_ends(start, 1e-3)} s); {capacity.waiting_for_start:.3g} requests per replica arrive "
        "meanwhile. Containers and downloads come on top"
    )
    return lines


def _under_text(under: LatencyUnder, question: CapacityQuestion) -> str:
    batching = under.batching
    how = "one by one" if batching.max_batch == 1 else f"batches of up to {batching.max_batch}"
    text = f"{under.arrivals}, {how}: p{question.percentile} {under.predicted_ms:.3g} ms predicted"
    if under.measured_ms is not None:
        text += f", {under.measured_ms.value:.3g} ms measured ({_ends(under.measured_ms)})"
    elif question.checks:
        text += "; measured: the queue became too long to answer all requests"
    return text


def _rate(rate: Statistic) -> str:
    return f"{rate.value:.4g} per second ({_ends(rate)})"


def _ends(statistic: Statistic, scale: float = 1.0) -> str:
    return " … ".join(f"{scale * end:.4g}" for end in statistic.ends)
