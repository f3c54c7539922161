"""Live verification: a service is asked, timed and judged."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from paretune.runners.measure.load.arrivals import Arrivals
from paretune.runners.metric import MEDIAN_LATENCY, calls_for, percentile_of
from paretune.search.deliver.bundle_run import read_manifest
from paretune.search.deliver.capacity.serving_plan import ServingPlan
from paretune.search.deliver.export import plain_name
from paretune.search.deliver.live.answers import answers_differ
from paretune.search.deliver.live.bundle_requests import BundleRequests
from paretune.search.deliver.live.live_record import LiveRecord
from paretune.search.deliver.live.live_settings import LiveSettings
from paretune.search.deliver.live.live_verification import LiveVerification, LiveWish
from paretune.search.deliver.live.one_client import cpu_share, measure_one_client
from paretune.search.deliver.live.open_loop import offer
from paretune.search.deliver.live.served_model_check import look_at_model
from paretune.search.deliver.live.service import (
    PROTOCOLS,
    Endpoint,
    RefusedRequestError,
    Service,
    UnreachableError,
)
from paretune.search.deliver.live.verdict import Budget, judge_client, judge_load, judge_record
from paretune.search.deliver.verification import Verdict, promised_time
from paretune.search.record.wish import Wish
from paretune.spaces import StudyError

_BUSY = "the client's own machine was busy during the measurement"

_PICKED = "the limit of the pick, for the model alone: --max-p99-ms sets the service's own"

_OTHER_PROTOCOL = (
    "; this server may not speak v2: exported services of LitServe, BentoML and Ray Serve need "
    "--protocol json, and MLflow's --protocol mlflow"
)

_ENCODED = 20
"""Requests that are encoded and decoded to time the client's own work. Chosen by judgement."""


def verify_service(
    folder: Path,
    endpoint: Endpoint,
    protocol: str = "v2",
    wish: LiveWish | None = None,
    settings: LiveSettings | None = None,
    told: Callable[[str], None] = lambda _: None,
) -> LiveVerification:
    """Check whether a service keeps the promises of a bundle.

    In this order: it is there, and its model's metadata are the bundle's; it gives the bundle's
    answers; it runs on the promised provider, as far as it tells; its times at one client; its
    latency at a rate. The first two end the verification if they fail.

    Slower (or faster) than when it was saved means that the intervals of p50 or p95 do not overlap.
    What an untouched server adds to the model's own time cannot be known in advance, so without
    saved times only the budget, and the model's own time as a lower bound, are compared. Times
    that are saved, or that are not the saved ones, are measured a second time after a pause, and
    both rounds count: a machine is slower for some seconds now and then, and a service that became
    slower stays so.

    Args:
        folder: The bundle, as ``paretune pick --out`` wrote it.
        endpoint: Where it is served. Without a model's name, it is the study's,
            as `paretune export` writes it.
        protocol: The name of a record in :data:`PROTOCOLS`.
        wish: What is asked of it.
        settings: How much to measure.
        told: Given lines about progress.

    Raises:
        StudyError: If the bundle cannot be read, or the wish needs a plan that it does not have.
        SpaceError: If the protocol is unknown.
    """
    wish, settings = wish or LiveWish(), settings or LiveSettings()
    manifest = read_manifest(folder)
    requests = BundleRequests.of(folder, manifest)
    plan, record = ServingPlan.of_bundle(folder), LiveRecord.of_bundle(folder)
    budget = _budget(wish, plan, Wish.from_dict(manifest.get("wish", {})))
    rate = _rate(wish, plan, budget, folder)
    endpoint = replace(
        endpoint,
        url=endpoint.url.rstrip("/"),
        model=endpoint.model or plain_name(str(manifest["study"])),
    )
    found = LiveVerification(
        Verdict.AS_PROMISED,
        "",
        budget=budget,
        measured_batch=requests.batch_size,
        promised_provider=manifest["run"]["execution_provider"],
        model_ms=promised_time(manifest, MEDIAN_LATENCY),
    )
    try:
        told(f"asking {endpoint.url} for the bundle's answers")
        service = PROTOCOLS.get(protocol).open(endpoint)
        found = look_at_model(found, service, requests, manifest)
        if found.verdict in (Verdict.OTHER_MODEL, Verdict.DIFFERENT_ANSWERS, Verdict.DOES_NOT_RUN):
            return found
        told("timing the answers to one client")
        found = _time(found, service, requests, settings)
        if record is not None:
            found = _compare(found, record, endpoint, protocol)
        if wish.saves or not _is_as_saved(found):
            told(f"timing them a second time, after a pause of {settings.pause_seconds:g} s")
            found = _time_again(found, service, requests, settings)
        if rate is not None and budget is not None:
            seconds = wish.seconds or seconds_for(rate, budget.percentile)
            told(f"sending {rate:g} requests per second for {seconds:.0f} s")
            found = _offer(found, service, requests, rate, seconds, budget, settings, endpoint)
    except UnreachableError as error:
        return replace(found, verdict=Verdict.UNREACHABLE, reason=str(error))
    except RefusedRequestError as error:
        hint = _OTHER_PROTOCOL if protocol == "v2" and error.status == "404" else ""
        return replace(found, verdict=Verdict.DOES_NOT_RUN, reason=f"{error}{hint}")
    found = _judge(found)
    if wish.saves:
        if found.verdict in (Verdict.OTHER_PROVIDER, Verdict.CANNOT_TELL):
            verdict = found.verdict.words
            return found.noted(f'nothing was saved: the verdict is "{verdict}"; see its reason')
        if any(client.is_disturbed for client in found.clients):
            reason = f"nothing was saved, because {_BUSY}: stop other work here, and save again"
            return replace(found, verdict=Verdict.CANNOT_TELL, reason=reason)
        saved = LiveRecord.of(endpoint.url, protocol, endpoint.model, found.clients).save(folder)
        found = replace(found, saved=saved)
    return found


def _time(
    found: LiveVerification, service: Service, requests: BundleRequests, settings: LiveSettings
) -> LiveVerification:
    clients = []
    for check in found.answers:
        if not check.refused:
            messages = requests.messages(service, check.size)
            own = _client_ms(service, requests, check.size)
            clients.append(measure_one_client(service, messages, check.size, settings, own))
    return replace(found, clients=tuple(clients))


def _client_ms(service: Service, requests: BundleRequests, size: int) -> float:
    """Return the median time of encoding a request and decoding its answer."""
    connection = service.connect()
    try:
        feed = requests.feed(np.arange(size) % len(requests))
        answer = connection.ask(service.encode(feed, requests.asked))
    finally:
        connection.close()
    times = []
    for _ in range(_ENCODED):
        begin = time.perf_counter_ns()
        service.encode(feed, requests.asked)
        service.decode(answer)
        times.append((time.perf_counter_ns() - begin) / 1e6)
    return float(np.median(times))


def _compare(
    found: LiveVerification, record: LiveRecord, endpoint: Endpoint, protocol: str
) -> LiveVerification:
    """Take a record to compare with, if it is of this service."""
    here, there = (endpoint.url, protocol), (record.url, record.protocol)
    if here == there:
        return replace(found, record=record)
    return found.noted(
        f"the saved times are of {record.url} by {record.protocol}: they are not compared (save "
        "those of this service with --save)"
    )


def _time_again(
    found: LiveVerification, service: Service, requests: BundleRequests, settings: LiveSettings
) -> LiveVerification:
    """Measure a second round after a pause, and let both count."""
    time.sleep(settings.pause_seconds)
    again = _time(found, service, requests, settings)
    both = [one.joined(later) for one, later in zip(found.clients, again.clients, strict=True)]
    return replace(found, clients=tuple(both))


def _is_as_saved(found: LiveVerification) -> bool:
    """Return whether nothing was saved, or the times are those that were."""
    if found.record is None:
        return True
    return judge_record(found.clients, found.record)[0] is Verdict.AS_PROMISED


def _offer(
    found: LiveVerification,
    service: Service,
    requests: BundleRequests,
    rate_per_s: float,
    seconds: float,
    budget: Budget,
    settings: LiveSettings,
    endpoint: Endpoint,
) -> LiveVerification:
    size, percentile = found.clients[0].size, budget.percentile
    arrivals = Arrivals.poisson(rate_per_s, seconds, settings.seed)
    if len(arrivals.times_s) < calls_for(percentile):
        raise StudyError(
            f"a p{percentile} needs at least {calls_for(percentile)} requests, but {seconds:g} s "
            f"at {rate_per_s:g} per second give only {len(arrivals.times_s)}: pass --seconds "
            f"{seconds_for(rate_per_s, percentile):.0f}"
        )
    messages = requests.messages(service, size)
    first = cpu_share()
    load = offer(service, messages, arrivals, settings.max_connections, endpoint.timeout_s)
    rows = [rows for rows in requests.rows(size) if len(rows) == size] or [
        np.arange(size) % len(requests)
    ]
    found = replace(found, load=load)
    if load.answered and found.answers[0].is_equal:
        places = sorted(load.answered)
        text = answers_differ(
            service,
            requests,
            [rows[place % len(rows)] for place in places],
            [load.answered[place] for place in places],
        )
        if text:
            return replace(
                found,
                verdict=Verdict.DIFFERENT_ANSWERS,
                reason=f"under load, and not before: {text}",
            )
    if min(first, cpu_share()) < 0.5:
        found = found.noted("this machine was busy while it sent the load")
    return found


def seconds_for(rate_per_s: float, percentile: int) -> float:
    """Return how many seconds of load tell a percentile: ten times the fewest, at least 20."""
    return max(20.0, 10 * calls_for(percentile) / rate_per_s)


def _budget(wish: LiveWish, plan: ServingPlan | None, picked: Wish) -> Budget | None:
    if wish.max_latency_ms is not None:
        return Budget(wish.max_latency_ms, wish.percentile, "--max-p99-ms")
    if plan is not None:
        return Budget(plan.max_latency_ms, plan.percentile, "the serving plan")
    if picked.max_latency_ms is not None:
        percentile = percentile_of(picked.latency_metric)
        return Budget(picked.max_latency_ms, percentile, _PICKED)
    return None


def _rate(
    wish: LiveWish, plan: ServingPlan | None, budget: Budget | None, folder: Path
) -> float | None:
    """Return the rate to offer.

    Raises:
        StudyError: If it, or its budget, is nowhere told.
    """
    if wish.at_capacity and plan is None:
        raise StudyError(
            f"{folder} has no serving plan, which says the capacity: run `paretune capacity "
            f"{folder} --max-p99-ms …` first, or pass --rate"
        )
    rate = plan.capacity_per_s.ends[0] if wish.at_capacity and plan else wish.rate_per_s
    if rate is not None and budget is None:
        raise StudyError(
            f"a rate needs a latency budget to be checked against, but {folder} has neither a "
            "serving plan nor a pick's limit: pass --max-p99-ms"
        )
    return rate


def _judge(found: LiveVerification) -> LiveVerification:
    """Return the verdict of what was measured."""
    if found.verdict is not Verdict.AS_PROMISED:
        return found
    told = found.provenance
    if told is not None and told.provider not in (None, found.promised_provider):
        reason = f"{told.source} says {told.provider}; {found.promised_provider} was measured"
        return replace(found, verdict=Verdict.OTHER_PROVIDER, reason=reason)
    verdict, reason = judge_client(
        found.clients, found.record, found.budget, found.model_ms, found.measured_batch
    )
    reasons = [reason]
    if found.load is not None and found.budget is not None:
        at_rate, text = judge_load(found.load, found.budget)
        reasons.append(text)
        is_worse = verdict in (Verdict.SLOWER, Verdict.OVER_BUDGET)
        if not is_worse and at_rate is not Verdict.AS_PROMISED:
            verdict = at_rate
            reasons.reverse()
    if verdict in (Verdict.SLOWER, Verdict.NOT_AT_RATE, Verdict.OVER_BUDGET) and any(
        client.is_disturbed for client in found.clients
    ):
        verdict = Verdict.CANNOT_TELL
        reasons.insert(0, f"nothing can be said of the times: {_BUSY}")
    return replace(found, verdict=verdict, reason="; ".join(reasons))
