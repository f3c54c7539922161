"""The state of a run in MLflow, and the difference between two states."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from paretune.search.review.mlflow.metric_names import is_standing
from paretune.spaces import OPTIONAL_AXES

if TYPE_CHECKING:
    from mlflow.entities import Run

HISTOGRAM = "latency.png"
HISTOGRAM_TAG = "paretune.histogram_of"

STANDING_TAGS = (
    "frontier",
    "search_frontier",
    "shortfall",
    "published",
    "same_as",
    "why_not_published",
    "paretune.confirmed_by",
)
"""The tags that come and go while a study runs."""


class Value(NamedTuple):
    """One value of a metric over trials or epochs."""

    name: str
    value: float
    at_ms: int
    step: int


@dataclass(frozen=True)
class RunState:
    """The state of a run: as it should be, as MLflow has it, or the changes between the two.

    Attributes:
        status: MLflow's status of the run; empty if it does not matter.
        params: Texts that MLflow never changes.
        tags: Texts by name; an empty one means that there is none.
        metrics: Numbers by name. In changes, NaN means that there shall be none: MLflow cannot
            remove a metric.
        artifacts: The source of each file that is drawn, as a digest, by the file's name.
    """

    status: str = ""
    params: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    artifacts: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, run: Run) -> RunState:
        """Return the state of a run in MLflow."""
        drawn = run.data.tags.get(HISTOGRAM_TAG)
        return cls(
            run.info.status,
            run.data.params,
            run.data.tags,
            {name: value for name, value in run.data.metrics.items() if not math.isnan(value)},
            {HISTOGRAM: drawn} if drawn else {},
        )

    def changes_to(self, wanted: RunState) -> RunState:
        """Return what to set so that a run in this state is in another.

        What neither state of a study can have put there (a person's tags, other metrics) stays.
        """
        # A run from before an axis existed does not name it.
        params = {**{name: str(value) for name, [value] in OPTIONAL_AXES.items()}, **self.params}
        gone_tags = {name: "" for name in STANDING_TAGS if self.tags.get(name)}
        gone = {n: math.nan for n in self.metrics if is_standing(n)}
        tags, metrics = {**gone_tags, **wanted.tags}, {**gone, **wanted.metrics}
        return RunState(
            wanted.status if wanted.status != self.status else "",
            {n: v for n, v in wanted.params.items() if params.get(n) != v},
            {n: v for n, v in tags.items() if self.tags.get(n, "") != v},
            {n: v for n, v in metrics.items() if self.metrics.get(n) != v},
            {n: v for n, v in wanted.artifacts.items() if self.artifacts.get(n) != v},
        )

    def differences(self, wanted: RunState) -> Iterator[str]:
        """Yield in words how a run in this state differs from another."""
        changes = self.changes_to(wanted)
        if changes.status:
            yield f"is {self.status} instead of {changes.status}"
        for kind in ("param", "tag", "metric", "artifact"):
            mine, theirs = getattr(self, f"{kind}s"), getattr(wanted, f"{kind}s")
            for name in getattr(changes, f"{kind}s"):
                yield f"{kind} {name} is {mine.get(name)!r} instead of {theirs.get(name)!r}"
