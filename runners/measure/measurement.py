"""The measurement: the numbers of an artifact that was run in one way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from paretune.runners.measure.statistic import Statistic
from paretune.runners.runtimes.proof import ProviderShare
from paretune.spaces import RunSpec


@dataclass(frozen=True)
class Measurement:
    """The numbers of an artifact that was run in one way.

    Attributes:
        run: How it was run.
        artifact: Digest of the file.
        statistics: Metrics of :data:`METRICS`, and the workload's quality metric.
        launches: Number of launches behind the statistics.
        contaminated_launches: Disturbed launches. They were replaced, unless the machine was not
            quiet for long enough; then the least disturbed ones count.
        is_steady: Whether timing became steady in every launch that counts.
        is_resolved: Whether the intervals of p50 and p95 are as tight as asked for.
        host_was_idle: Whether nothing else was running when it began.
        canary_ms: Median time of the canary: the speed of the machine itself.
        providers: Each execution provider's share, from the runtime's own profile.
        samples: Digest of the raw samples: an ``.npz`` file with every timed call, by launch.
        environment: The machine and the versions it was measured with.
        resampled: The quality on bootstrap samples of the split; the same samples for every model,
            so that two are compared sample by sample. Empty if it could not be computed.
        answers: Digest of what the model decided for each sample (see ``Judgement``); empty if its
            outputs are not decisions.
    """

    run: RunSpec
    artifact: str
    statistics: Mapping[str, Statistic]
    launches: int
    contaminated_launches: int
    is_steady: bool
    is_resolved: bool
    host_was_idle: bool
    canary_ms: float
    providers: Mapping[str, ProviderShare]
    samples: str
    environment: Mapping[str, str] = field(default_factory=dict)
    resampled: tuple[float, ...] = ()
    answers: str = ""

    @property
    def metrics(self) -> dict[str, float]:
        """The value of each metric, by name."""
        return {name: statistic.value for name, statistic in self.statistics.items()}

    def as_dict(self) -> dict[str, Any]:
        """Return plain nested values, ready for JSON."""
        return {**asdict(self), "run": self.run.as_dict()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Measurement:
        """Undo :meth:`as_dict`."""
        nested = {
            "run": RunSpec(**values["run"]),
            "statistics": {k: Statistic(**v) for k, v in values["statistics"].items()},
            "providers": {k: ProviderShare(**v) for k, v in values["providers"].items()},
            "resampled": tuple(values.get("resampled", ())),
        }
        return cls(**{**values, **nested})
