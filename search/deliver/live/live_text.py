"""A live verification in words, a line for each thing that was looked at."""

from __future__ import annotations

from collections.abc import Iterator

from paretune.runners.measure.statistic import Statistic
from paretune.runners.metric import MEDIAN_LATENCY, USUAL_LATENCY
from paretune.search.deliver.live.live_verification import LiveVerification
from paretune.search.deliver.live.one_client import OneClient
from paretune.search.record.words import counted

_PARTS = {"queue": "in the queue", "compute": "in the model", "request": "in all"}


def live_lines(found: LiveVerification) -> Iterator[str]:
    """Yield what was found, line by line; the verdict is not among them."""
    for check in found.answers:
        what = f"{check.samples} samples in requests of {check.size}"
        said = check.refused or check.difference or "the answers are the bundle's"
        yield f"answers: {what}: {said}"
    for client in found.clients:
        yield from _of_client(client, found)
    if (load := found.load) is not None:
        q = found.budget.percentile if found.budget else 99
        parts = [f"p50 {_ms(load.latency(50))}", f"p{q} {_ms(load.latency(q))}"]
        yield (
            f"at {load.rate_per_s:.4g} requests/s ({load.arrivals}): {', '.join(parts)}; "
            f"{len(load.latency_ms)} requests, {load.failed} without an answer"
        )
    if found.budget is not None:
        yield f"budget: {found.budget.words}"
    if found.answers:
        yield f"provider: {_provider(found)}"
    for note in found.notes:
        yield f"note: {note}"
    if found.saved is not None:
        yield f"saved these times to {found.saved}: later verifications compare with them"


def _of_client(client: OneClient, found: LiveVerification) -> Iterator[str]:
    """Yield what one client saw with requests of one size, and what the server adds."""
    times = client.statistics
    told = [f"p50 {_ms(times[MEDIAN_LATENCY])}"]
    if USUAL_LATENCY in times:
        told.append(f"p95 {_ms(times[USUAL_LATENCY])}")
    then = found.record.latencies.get(client.size, {}) if found.record else {}
    if MEDIAN_LATENCY in then:
        told.append(f"when saved p50 {_ms(then[MEDIAN_LATENCY])}")
    yield f"one client, requests of {client.size}: {', '.join(told)}"
    own = found.model_ms
    if own is not None and client.size == found.measured_batch:
        served = times[MEDIAN_LATENCY].value
        added = max(0.0, served - own.value)
        network = client.network_ms
        parts = [] if network is None else [f"an empty request takes {network.value:.3g} ms"]
        yield (
            f"  the model's own p50 by the manifest {_ms(own)}; the server adds {added:.3g} ms "
            f"({', '.join([f'{added / served:.0%} of the whole', *parts])})"
        )
    if client.parts_ms:
        parts = [
            f"{value:.3g} ms {_PARTS[part]}"
            for part, value in client.parts_ms.items()
            if part in _PARTS
        ]
        yield f"  by the server's own counters, on average: {', '.join(parts)}"
    yield f"  the client itself encodes and decodes in {client.client_ms:.3g} ms, not counted above"


def _provider(found: LiveVerification) -> str:
    """Return what runs the model, as far as it is told."""
    told = found.provenance
    if told is None:
        return (
            f"the service does not tell, so it cannot be known from outside (measured: "
            f"{found.promised_provider})"
        )
    if told.provider is None:
        said = f": {told.words}" if told.words else ""
        return (
            f"{told.source} does not name one{said}; it cannot be known from outside (measured: "
            f"{found.promised_provider})"
        )
    threads = "" if told.threads is None else f", {counted(told.threads, 'thread')}"
    words = f" ({told.words})" if told.words else ""
    return f"{told.provider}{threads}{words}, by {told.source}; measured: {found.promised_provider}"


def _ms(statistic: Statistic) -> str:
    low, high = statistic.ends
    return f"{statistic.value:.3g} ms ({low:.3g} to {high:.3g})"
