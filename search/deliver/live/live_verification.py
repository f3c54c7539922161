"""Live verification: does a service keep the promises of the bundle that it serves?"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from paretune.runners.measure.load.arrivals import Arrivals
from paretune.runners.measure.statistic import Statistic
from paretune.runners.metric import MEDIAN_LATENCY, calls_for
from paretune.search.deliver.bundle_run import read_manifest
from paretune.search.deliver.capacity.serving_plan import ServingPlan
from paretune.search.deliver.export import plain_name
from paretune.search.deliver.live.answers import (
    AnswerCheck,
    answers_differ,
    check_answers,
    metadata_differ,
)
from paretune.search.deliver.live.bundle_requests import BundleRequests
from paretune.search.deliver.live.live_record import LiveRecord
from paretune.search.deliver.live.live_settings import LiveSettings
from paretune.search.deliver.live.one_client import OneClient, cpu_share, measure_one_client
from paretune.search.deliver.live.open_loop import OfferedLoad, offer
from paretune.search.deliver.live.service import (
    PROTOCOLS,
    Endpoint,
    Provenance,
    RefusedRequestError,
    Service,
    UnreachableError,
)
from paretune.search.deliver.live.verdict import Budget, judge_client, judge_load
from paretune.search.deliver.verification import Verdict, promised_time
from paretune.spaces import StudyError

_BUSY = "the client's own machine was busy during the measurement"

_ENCODED = 20
"""Requests that are encoded and decoded to time the client's own work. Chosen by judgement."""


@dataclass(frozen=True)
class LiveWish:
    """What is asked of a service.

    Attributes:
        rate_per_s: Requests per second, each of one sample; ``None`` to offer no load.
        at_capacity: Whether the rate is the serving plan's capacity: the lower end of its interval.
        max_latency_ms: The budget of a request; the plan's if ``None``.
        percentile: The percentile that must keep it, where the plan's is not used.
        seconds: How long the load lasts; ``None`` for as long as the percentile needs, but at least
            20 s.
        saves: Whether the times are saved in the bundle, for later verifications.
    """

    rate_per_s: float | None = None
    at_capacity: bool = False
    max_latency_ms: float | None = None
    percentile: int = 99
    seconds: float | None = None
    saves: bool = False


@dataclass(frozen=True)
class LiveVerification:
    """The result of a live verification. What was not reached is empty or ``None``.

    Attributes:
        verdict: The verdict.
        reason: The reason, in words.
        answers: How the service answered, by size of a request.
        clients: The times of one client, by size of a request.
        model_ms: The model's own p50 per call of the measured batch, by the manifest.
        measured_batch: Samples of such a call.
        record: The saved times of the same service, if there are any.
        load: What came of the load at a rate.
        budget: The latency budget, if there is one.
        provenance: What runs the model, if the service tells.
        promised_provider: The execution provider of the manifest.
        notes: What else must be known, in words.
        saved: The file in which the times were saved.
    """

    verdict: Verdict
    reason: str
    answers: tuple[AnswerCheck, ...] = ()
    clients: tuple[OneClient, ...] = ()
    model_ms: Statistic | None = None
    measured_batch: int = 1
    record: LiveRecord | None = None
    load: OfferedLoad | None = None
    budget: Budget | None = None
    provenance: Provenance | None = None
    promised_provider: str = ""
    notes: tuple[str, ...] = field(default=())
    saved: Path | None = None

    def __repr__(self) -> str:
        """Return it as `paretune verify --url` prints it: what was looked at, then the verdict."""
        # The module that words it imports this one.
        from paretune.search.deliver.live.live_text import live_lines

        return "\n".join([*live_lines(self), f"{self.verdict.words}: {self.reason}"])


def verify_service(
    folder: Path,
    endpoint: Endpoint,
    protocol: str = "v2",
    wish: LiveWish | None = None,
    settings: LiveSettings | None = None,
) -> LiveVerification:
    """Check whether a service keeps the promises of a bundle.

    In this order: it is there, and its model's metadata are the bundle's; it gives the bundle's
    answers; it runs on the promised provider, as far as it tells; its times at one client; its
    latency at a rate. The first two end the verification if they fail.

    Slower (or faster) than when it was saved means that the intervals of p50 or p95 do not overlap.
    What an untouched server adds to the model's own time cannot be known in advance, so without
    saved times only the budget, and the model's own time as a lower bound, are compared.

    Args:
        folder: The bundle, as ``paretune pick --out`` wrote it.
        endpoint: Where it is served. Without a model's name, it is the study's,
            as `paretune export` writes it.
        protocol: The name of a record in :data:`PROTOCOLS`.
        wish: What is asked of it.
        settings: How much to measure.

    Raises:
        StudyError: If the bundle cannot be read, or the wish needs a plan that it does not have.
        SpaceError: If the protocol is unknown.
    """
    wish, settings = wish or LiveWish(), settings or LiveSettings()
    manifest = read_manifest(folder)
    requests = BundleRequests.of(folder, manifest)
    plan, record = ServingPlan.of_bundle(folder), LiveRecord.of_bundle(folder)
    budget = _budget(wish, plan)
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
        service = PROTOCOLS.get(protocol).open(endpoint)
        found = _look(found, service, requests, manifest)
        if found.verdict in (Verdict.OTHER_MODEL, Verdict.DIFFERENT_ANSWERS, Verdict.DOES_NOT_RUN):
            return found
        found = _time(found, service, requests, settings)
        if record is not None:
            found = _compare(found, record, endpoint, protocol)
        if rate is not None and budget is not None:
            found = _offer(found, service, requests, rate, wish, settings, endpoint.timeout_s)
    except UnreachableError as error:
        return replace(found, verdict=Verdict.UNREACHABLE, reason=str(error))
    except RefusedRequestError as error:
        return replace(found, verdict=Verdict.DOES_NOT_RUN, reason=str(error))
    found = _judge(found)
    if wish.saves:
        if found.verdict in (Verdict.OTHER_PROVIDER, Verdict.CANNOT_TELL):
            return _noted(found, f"nothing was saved, because the verdict is {found.verdict.words}")
        if any(client.is_disturbed for client in found.clients):
            reason = f"nothing was saved, because {_BUSY}: stop other work here, and save again"
            return replace(found, verdict=Verdict.CANNOT_TELL, reason=reason)
        saved = LiveRecord.of(endpoint.url, protocol, endpoint.model, found.clients).save(folder)
        found = replace(found, saved=saved)
    return found


def _look(
    found: LiveVerification, service: Service, requests: BundleRequests, manifest: Mapping[str, Any]
) -> LiveVerification:
    """Check that the service is there, has the bundle's model, and gives its answers."""
    service.check_ready()
    try:
        info = service.info()
    except RefusedRequestError as error:
        found, info = _noted(found, f"the model's metadata cannot be read: {error}"), None
    if info is not None and (text := metadata_differ(info, requests)):
        return replace(found, verdict=Verdict.OTHER_MODEL, reason=text)
    checks = tuple(check_answers(service, requests, size) for size in requests.sizes)
    found = replace(found, answers=checks, provenance=service.provenance(checks[-1].answer))
    if text := _wrong(checks):
        refused = all(each.refused for each in checks)
        verdict = Verdict.DOES_NOT_RUN if refused else Verdict.DIFFERENT_ANSWERS
        return replace(found, verdict=verdict, reason=text)
    for each in checks:
        if each.refused:
            found = _noted(found, f"requests of {each.size} samples are refused: {each.refused}")
        elif each.difference:
            found = _noted(
                found,
                f"in requests of {each.size} samples the answers are others ({each.difference}), "
                f"but not in those of the measured {requests.batch_size}: answers of this model "
                "depend on the batch, as those of dynamic quantization do",
            )
    told = found.provenance
    digest = manifest["model"]["sha256"]
    if told is not None and told.model_sha256 not in (None, digest):
        return replace(
            found,
            verdict=Verdict.OTHER_MODEL,
            reason=f"{told.source} names a model file {str(told.model_sha256)[:12]}…, the bundle's "
            f"is {digest[:12]}…",
        )
    threads = manifest["run"]["session_options"].get("intra_op_num_threads")
    if told is not None and told.threads is not None and threads and told.threads != threads:
        found = _noted(
            found,
            f"the service runs the model with {told.threads} threads; {threads} were measured",
        )
    return found


def _wrong(checks: Sequence[AnswerCheck]) -> str:
    """Return why answers are not the bundle's: what the largest answered request says."""
    answered = [each for each in checks if not each.refused]
    if not answered:
        return checks[0].refused
    largest = answered[-1]
    return largest.difference and f"requests of {largest.size}: {largest.difference}"


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
    return _noted(
        found,
        f"the saved times are of {record.url} by {record.protocol}: they are not compared (save "
        "those of this service with --save)",
    )


def _offer(
    found: LiveVerification,
    service: Service,
    requests: BundleRequests,
    rate_per_s: float,
    wish: LiveWish,
    settings: LiveSettings,
    timeout_s: float,
) -> LiveVerification:
    size = found.clients[0].size
    percentile = found.budget.percentile if found.budget else wish.percentile
    seconds = wish.seconds or seconds_for(rate_per_s, percentile)
    arrivals = Arrivals.poisson(rate_per_s, seconds, settings.seed)
    if len(arrivals.times_s) < calls_for(percentile):
        raise StudyError(
            f"a p{percentile} needs at least {calls_for(percentile)} requests, but {seconds:g} s "
            f"at {rate_per_s:g} per second give only {len(arrivals.times_s)}: pass --seconds "
            f"{seconds_for(rate_per_s, percentile):.0f}"
        )
    messages = requests.messages(service, size)
    first = cpu_share()
    load = offer(service, messages, arrivals, settings.max_connections, timeout_s)
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
        found = _noted(found, "this machine was busy while it sent the load")
    return found


def seconds_for(rate_per_s: float, percentile: int) -> float:
    """Return how many seconds of load tell a percentile: ten times the fewest, at least 20."""
    return max(20.0, 10 * calls_for(percentile) / rate_per_s)


def _budget(wish: LiveWish, plan: ServingPlan | None) -> Budget | None:
    if wish.max_latency_ms is not None:
        return Budget(wish.max_latency_ms, wish.percentile, "--max-p99-ms")
    if plan is not None:
        return Budget(plan.max_latency_ms, plan.percentile, "the serving plan")
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
            f"a rate needs a latency budget to be checked against, but {folder} has no serving "
            "plan with one: pass --max-p99-ms"
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
        if verdict is not Verdict.SLOWER and at_rate is not Verdict.AS_PROMISED:
            verdict = at_rate
            reasons.reverse()
    if verdict in (Verdict.SLOWER, Verdict.NOT_AT_RATE) and any(
        client.is_disturbed for client in found.clients
    ):
        verdict = Verdict.CANNOT_TELL
        reasons.insert(0, _BUSY)
    return replace(found, verdict=verdict, reason="; ".join(reasons))


def _noted(found: LiveVerification, note: str) -> LiveVerification:
    return replace(found, notes=(*found.notes, note))
