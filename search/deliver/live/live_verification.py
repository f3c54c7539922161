"""The result of a live verification: does a service keep the promises of its bundle?"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from paretune.runners.measure.statistic import Statistic
from paretune.search.deliver.live.answers import AnswerCheck
from paretune.search.deliver.live.live_record import LiveRecord
from paretune.search.deliver.live.one_client import OneClient
from paretune.search.deliver.live.open_loop import OfferedLoad
from paretune.search.deliver.live.service import Provenance
from paretune.search.deliver.live.verdict import Budget
from paretune.search.deliver.verification import Verdict


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

    def noted(self, note: str) -> LiveVerification:
        """Return it with one more note."""
        return replace(self, notes=(*self.notes, note))
