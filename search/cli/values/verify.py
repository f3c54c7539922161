"""What ``paretune verify --json`` prints, for a bundle on this machine and for a service."""

from __future__ import annotations

from pydantic import Field

from paretune.search.cli.values.base import Interval, Values
from paretune.search.deliver.live.live_verification import LiveVerification
from paretune.search.deliver.verification import Verification


class VerifyValues(Values):
    """Whether a bundle keeps its promises on this machine."""

    verdict: str = Field(
        description="`as promised`, `slower`, `faster`, `different answers`, `does not run`, "
        "`damaged` (not the file that was picked) or `cannot tell` (the machine was busy)."
    )
    exit_code: int = Field(description="The command's exit code; 0 is `as promised`.")
    reason: str = Field(description="The reason, in words.")
    promised: dict[str, Interval] = Field(description="Times in ms, by metric, as published.")
    measured: dict[str, Interval] = Field(description="The same times, measured now.")


class AnswerValues(Values):
    """How a service answered requests of one size."""

    size: int = Field(description="Samples of a request.")
    samples: int = Field(description="Samples that were sent.")
    is_equal: bool = Field(description="Whether the answers are the bundle's.")
    difference: str = Field(description="How they differ, or why it refused; empty if equal.")


class ClientValues(Values):
    """What one client saw."""

    size: int = Field(description="Samples of a request.")
    latency: dict[str, Interval] = Field(description="Times of a request in ms, by metric.")


class LoadValues(Values):
    """What came of requests at a rate."""

    rate_per_s: float = Field(description="Requests per second that were offered.")
    completed_per_s: float = Field(description="Requests per second that were answered.")
    requests: int = Field(description="Requests in all.")
    failed: int = Field(description="Requests without an answer.")
    latency_p50_ms: Interval = Field(description="From when a request was due.")
    latency_p99_ms: Interval = Field(description="From when a request was due.")


class ServiceValues(Values):
    """Whether a service keeps the promises of a bundle."""

    verdict: str = Field(description="As on this machine; also whether it is there and keeps up.")
    exit_code: int = Field(description="The command's exit code; 0 is `as promised`.")
    reason: str = Field(description="The reason, in words.")
    answers: list[AnswerValues] = Field(description="Its answers, by size of a request.")
    clients: list[ClientValues] = Field(description="Its times for one client, by size.")
    load: LoadValues | None = Field(description="What came of the rate; null without one.")
    budget: str | None = Field(description="The latency budget in words; null without one.")
    notes: list[str] = Field(description="What else must be known, in words.")
    saved: str | None = Field(description="The file the times were saved in; null without --save.")


def verify_values(found: Verification) -> VerifyValues:
    """Return a verification as it is printed."""
    return VerifyValues(
        verdict=found.verdict.words,
        exit_code=int(found.verdict),
        reason=found.reason,
        promised={name: Interval.of(each) for name, each in found.promised.items()},
        measured={name: Interval.of(each) for name, each in found.measured.items()},
    )


def service_values(found: LiveVerification) -> ServiceValues:
    """Return the verification of a service as it is printed."""
    load = found.load
    return ServiceValues(
        verdict=found.verdict.words,
        exit_code=int(found.verdict),
        reason=found.reason,
        answers=[
            AnswerValues(
                size=each.size,
                samples=each.samples,
                is_equal=each.is_equal,
                difference=each.refused or each.difference,
            )
            for each in found.answers
        ],
        clients=[
            ClientValues(
                size=each.size,
                latency={name: Interval.of(value) for name, value in each.statistics.items()},
            )
            for each in found.clients
        ],
        load=None
        if load is None
        else LoadValues(
            rate_per_s=load.rate_per_s,
            completed_per_s=load.completed_per_s,
            requests=len(load.latency_ms),
            failed=load.failed,
            latency_p50_ms=Interval.of(load.latency(50)),
            latency_p99_ms=Interval.of(load.latency(99)),
        ),
        budget=found.budget.words if found.budget else None,
        notes=list(found.notes),
        saved=None if found.saved is None else str(found.saved),
    )
