"""What is monitored of a service: the published figures that rules and dashboards hold."""

from __future__ import annotations

from dataclasses import dataclass

from paretune.runners.measure.statistic import Statistic
from paretune.runners.metric import USUAL_LATENCY
from paretune.search.deliver.live.live_record import LiveRecord
from paretune.search.deliver.service.point import ServicePoint
from paretune.search.deliver.watch.settings import WatchSettings
from paretune.search.deliver.watch.sources.server_metrics import SERVERS, ServerMetrics
from paretune.spaces import StudyError

NAMESPACE = "paretune"
"""The first part of the names of recorded series."""


@dataclass(frozen=True)
class Monitored:
    """The figures of a point, and the metrics of the server that serves it.

    Attributes:
        point: The point.
        server: The server's metrics.
        p95_ms: The p95 latency that is published, with its interval.
        origin: Where it comes from, in words.
    """

    point: ServicePoint
    server: ServerMetrics
    p95_ms: Statistic
    origin: str

    @classmethod
    def of_point(cls, point: ServicePoint) -> Monitored:
        """Return what is monitored of a point.

        The published p95 is that of the service as it was verified live; else that of requests at
        the plan's capacity; else that of the model's own calls, to which a server adds.

        Raises:
            StudyError: If no server is named, or it is unknown.
        """
        name = point.settings.server
        known = {each.name: each for each in SERVERS}
        if name not in known:
            raise StudyError(
                "say whose metrics are monitored: `--server NAME`, with one of "
                f"{', '.join(known)}" + (f"; got {name!r}" if name else "")
            )
        return cls(point, known[name], *_published(point))

    @property
    def labels(self) -> dict[str, str]:
        """The labels of all rules: what is served."""
        manifest = self.point.manifest
        return {
            "model": self.point.name,
            "trial": str(manifest["trial"]),
            "digest": str(manifest["model"]["sha256"])[:12],
        }

    @property
    def highest_p95_ms(self) -> float:
        """The upper end of the published interval, with what a watch tolerates."""
        return self.p95_ms.ends[1] * (1 + WatchSettings().tolerance)

    @property
    def budget(self) -> tuple[int, float] | None:
        """The percentile and the latency that it must keep, if there is a budget."""
        if self.point.budget_ms is None:
            return None
        return (self.point.plan.percentile if self.point.plan else 99), self.point.budget_ms

    def query(self, text: str) -> str:
        """Return one of the server's queries for the model."""
        return self.server.query(text, self.point.name)

    def recorded(self, what: str) -> str:
        """Return the selector of a recorded series of this model, such as ``latency_ms:p95``."""
        return f'{NAMESPACE}:{what}{{model="{self.point.name}",trial="{self.labels["trial"]}"}}'


def _published(point: ServicePoint) -> tuple[Statistic, str]:
    live = LiveRecord.of_bundle(point.bundle)
    if live is not None and live.latencies:
        p95 = live.latencies[min(live.latencies)].get(USUAL_LATENCY)
        if p95 is not None:
            return p95, "the service as verified live, at one client (live.json)"
    if point.plan is not None and 95 in point.plan.latency_ms:
        kind = "measured" if point.plan.is_measured else "predicted"
        return Statistic(point.plan.latency_ms[95]), f"requests at the plan's capacity ({kind})"
    try:
        return Statistic(**point.manifest["metrics"][USUAL_LATENCY]), (
            "the model's own calls by the manifest; a server adds to it, so save what it gives, "
            "with `paretune verify BUNDLE --url … --save`, and export again"
        )
    except KeyError:
        raise StudyError(
            f"the manifest has no {USUAL_LATENCY} and there is no serving plan: pick again"
        ) from None
