"""The watcher: takes what a source tells, and tells what happened to the service."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from paretune.search.deliver.watch.data_reference import DataReference
from paretune.search.deliver.watch.drift import DriftWatch
from paretune.search.deliver.watch.event import Event, Kind
from paretune.search.deliver.watch.latency_reference import LatencyReference
from paretune.search.deliver.watch.latency_watch import LatencyWatch
from paretune.search.deliver.watch.observation import Block, Request
from paretune.search.deliver.watch.outage import Outage
from paretune.search.deliver.watch.settings import LEARN_REQUESTS, WatchSettings
from paretune.search.deliver.watch.track import Track, Turn

KINDS = 4
"""Kinds of change that make false alarms: latency, errors, answers, drift. Each has a quarter of
the stated rate, so that all of them together keep it.
"""

EXIT_DEGRADED = 3
"""Exit code if latency, errors or reachability are not as published; as of ``paretune verify``."""

EXIT_DIFFERENT = 5
"""Exit code if answers, inputs or outputs are not as published."""


@dataclass(frozen=True)
class State:
    """What a watch knows at one time.

    Attributes:
        requests: Requests so far.
        exit_code: 0 as published, 3 degraded, 5 drifted or different answers.
        reference: Latency as published; ``None`` while it is being learnt.
        last: The last block of requests; ``None`` before the first.
        evidence: The evidence of a change of latency, as a share of what an alarm takes.
        stability_indices: The population stability index of each feature in the last window.
    """

    requests: int
    exit_code: int
    reference: LatencyReference | None
    last: Block | None
    evidence: float
    stability_indices: Mapping[str, float]

    @property
    def metrics(self) -> dict[str, float]:
        """The numbers, by name."""
        values = {"evidence": self.evidence, "exit_code": float(self.exit_code)}
        if self.reference is None:
            return values
        published = self.reference.p50_ms.value
        values |= {"reference_p50_latency_ms": published}
        values |= {"limit_p50_latency_ms": self.reference.limit_ms}
        if self.last is not None and self.last.count:
            values["p50_latency_ms"] = self.last.p50_ms
            values["p50_ratio"] = self.last.p50_ms / published
            values["slow_share"] = self.last.slow / self.last.count
        if self.last is not None and self.last.end_s > self.last.start_s:
            values["requests_per_s"] = self.last.count / (self.last.end_s - self.last.start_s)
        return values


class Watcher:
    """Watches one service.

    Args:
        settings: How to decide.
        reference: Latency as published; ``None`` to learn it from the first requests.
        learn: Requests to learn the reference from.
        data: Inputs and outputs as published; ``None`` to watch no drift.

    Attributes:
        reference: The reference of latency; ``None`` while it is being learnt.
        requests: Requests so far.
    """

    def __init__(
        self,
        settings: WatchSettings,
        reference: LatencyReference | None = None,
        *,
        learn: int = LEARN_REQUESTS,
        data: DataReference | None = None,
    ) -> None:
        self._settings, self._learn = settings, learn
        self._learnt: list[float] = []
        self._skipped = 0
        self._latency: LatencyWatch | None = None
        self._outage = Outage(settings, float("inf"))
        self._answers = Track(KINDS * settings.false_alarm_every, 0.0)
        self._difference = ""
        self._drift = DriftWatch(data, settings, KINDS) if data and data.features else None
        self.reference: LatencyReference | None = None
        self.requests = 0
        if reference is not None:
            self._begin(reference)

    @property
    def exit_code(self) -> int:
        """The exit code of what is going on now: 0 as published, 3 degraded, 5 different."""
        if self._answers.is_changed or (self._drift and self._drift.is_drifted):
            return EXIT_DIFFERENT
        is_degraded = self._outage.is_down or (self._latency and self._latency.is_degraded)
        return EXIT_DEGRADED if is_degraded else 0

    @property
    def state(self) -> State:
        """What is known now."""
        return State(
            self.requests,
            self.exit_code,
            self.reference,
            self._latency.last if self._latency else None,
            self._latency.evidence if self._latency else 0.0,
            dict(self._drift.indices) if self._drift else {},
        )

    def see(self, request: Request) -> list[Event]:
        """Take a request, and return what it shows."""
        self.requests += 1
        events, counts = self._outage.see(request)
        if events or (request.failed is not None and not counts):
            self._interrupt()
        if request.difference is not None:
            events += self._see_answer(request)
        if self._drift:
            events += self._drift.see(request)
        if not counts:
            return events
        if self._latency is None:
            return events + self._see_first(request)
        return events + self._latency.see(request)

    def see_block(self, block: Block) -> list[Event]:
        """Take a block that the source has counted. The reference must be known."""
        if self._latency is None:
            raise ValueError("blocks need a reference: learn it first")
        self.requests += round(block.count + block.errors)
        if block.has_restarted:
            text = "its counters began anew; what it counted meanwhile is left out"
            return [Event(Kind.RESTART, "service", block.end_s, block.start_s, text)]
        return self._latency.see_block(block)

    def _begin(self, reference: LatencyReference) -> None:
        self.reference = reference
        self._latency = LatencyWatch(reference, self._settings, KINDS)
        self._outage.p95_ms = reference.p95_ms

    def _interrupt(self) -> None:
        if self._latency is not None:
            self._latency.interrupt()

    def _see_first(self, request: Request) -> list[Event]:
        """Learn the reference; the first calls are cold."""
        if request.latency_ms is None:
            return []
        if self._skipped < self._settings.warm_up:
            self._skipped += 1
            return []
        self._learnt.append(request.latency_ms)
        if len(self._learnt) < self._learn:
            return []
        reference = LatencyReference.of_samples(
            self._learnt,
            self._settings.tolerance,
            self._settings.block_requests,
            f"the first {self._learn} requests",
        )
        self._begin(reference)
        return [started(reference, self._settings, request.time_s)]

    def _see_answer(self, request: Request) -> list[Event]:
        is_different = bool(request.difference)
        if is_different:
            self._difference = request.difference or ""
        turn = self._answers.see([is_different], request.time_s, request.time_s)
        kinds = {
            Turn.CHANGED: (Kind.DIFFERENT_ANSWERS, self._difference),
            Turn.SPIKE: (Kind.SPIKE, f"{self._difference}; the same again now"),
            Turn.RECOVERED: (Kind.RECOVERED, "the same again"),
        }
        if turn is None:
            return []
        kind, text = kinds[turn]
        since = request.time_s if self._answers.since_s is None else self._answers.since_s
        return [Event(kind, "answers", request.time_s, since, text, self._answers.length)]


def started(reference: LatencyReference, settings: WatchSettings, time_s: float) -> Event:
    """Return the event that says what a watch compares with, and how surely."""
    p50 = reference.p50_ms
    notice = reference.notice(settings.tolerance)
    text = (
        f"reference: p50 {p50.value:.4g} ms ({p50.ends[0]:.4g} … {p50.ends[1]:.4g}), p95 "
        f"{reference.p95_ms:.4g} ms, from {reference.words}; told is a p50 above "
        f"{reference.limit_ms:.4g} ms in blocks of {reference.block_requests} requests; at most "
        f"one false alarm in {settings.false_alarm_every:,.0f} requests{'; ' if notice else ''}"
        f"{notice}"
    )
    return Event(Kind.STARTED, "watch", time_s, time_s, text)
