"""The wish: what a person wants to pick. It steers a search, and decides a pick."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from paretune.runners.metric import is_quality, latency
from paretune.search.record.objective import Constraint, Objective, losses, reference_point
from paretune.spaces import Candidate

Preference = Literal["accuracy", "latency", "throughput", "size", "memory"]
"""The quantity to optimize: ``accuracy`` is the workload's quality metric, whatever its name."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a person wants to pick: limits, and a preference among the points that keep them.

    A search is steered by it and forbids nothing: trials that break it stay valid. A pick keeps it.

    Attributes:
        max_latency_ms: Latency budget per call in milliseconds, or ``None``.
        percentile: Latency percentile of the budget: ``p50``, ``p90``, ``p95`` or ``p99``.
        max_quality_drop: Maximum loss of quality against the baseline, in the quality's unit, or
            ``None``.
        min_quality: Minimum quality, or ``None``.
        batch_size: The batch size that will be used, or ``None``: a pick takes no other.
        runner: The runner that will be used, or ``None``; for a pick alone.
        limits: Limits on other metrics; for a pick alone.
        prefer: The quantity to optimize; ``None`` derives it from the limits (see
            :attr:`preference`). For a pick alone.
    """

    max_latency_ms: float | None = None
    percentile: str = "p95"
    max_quality_drop: float | None = None
    min_quality: float | None = None
    batch_size: int | None = None
    runner: str | None = None
    limits: tuple[Constraint, ...] = ()
    prefer: Preference | None = None

    @property
    def latency_metric(self) -> str:
        """The metric of the latency budget."""
        return latency(self.percentile)

    @property
    def preference(self) -> Preference:
        """The quantity to optimize among the points that keep the limits.

        A limit on quality alone says how much may be lost in exchange for speed: then the lowest
        latency is best. In all other cases the highest quality is.
        """
        if self.prefer is not None:
            return self.prefer
        costs = [limit for limit in self.limits if not is_quality(limit.metric)]
        has_cost_limit = self.max_latency_ms is not None or bool(costs)
        has_quality_limit = (
            self.min_quality is not None
            or self.max_quality_drop is not None
            or len(costs) < len(self.limits)
        )
        return "latency" if has_quality_limit and not has_cost_limit else "accuracy"

    @property
    def is_open(self) -> bool:
        """Whether there is neither a limit nor a preference."""
        asked = (self.max_latency_ms, self.min_quality, self.max_quality_drop, self.prefer)
        return not self.limits and all(each is None for each in asked)

    def constraints(
        self, baseline: Mapping[str, float], quality_metric: str
    ) -> tuple[Constraint, ...]:
        """Return the wish as limits on metrics.

        Args:
            baseline: The baseline's metrics, on the split that the limits apply to; only needed for
                a drop of quality.
            quality_metric: The workload's quality; higher is better.
        """
        found = list(self.limits)
        if self.max_latency_ms is not None:
            found.append(Constraint(self.latency_metric, maximum=self.max_latency_ms))
        floors = [] if self.min_quality is None else [self.min_quality]
        if self.max_quality_drop is not None:
            floors.append(baseline[quality_metric] - self.max_quality_drop)
        if floors:
            found.append(Constraint(quality_metric, minimum=max(floors)))
        return tuple(found)

    def reference(
        self,
        baseline: Mapping[str, float],
        objectives: Sequence[Objective],
        quality_metric: str,
        batch_size: int,
    ) -> NDArray[np.float64]:
        """Return the losses of the hypervolume's reference point: shape (objectives,).

        Args:
            baseline: The baseline's metrics.
            objectives: The goals.
            quality_metric: The workload's quality.
            batch_size: The baseline's batch size.
        """
        larger = (self.batch_size or batch_size) / batch_size
        limits = self.constraints(baseline, quality_metric)
        return reference_point(baseline, objectives, limits, larger)

    def holds(
        self,
        metrics: Mapping[str, float],
        baseline: Mapping[str, float],
        objectives: Sequence[Objective],
        quality_metric: str,
    ) -> bool:
        """Tell whether a point is worth measuring again: no worse than the reference point.

        Only the quality counts, and each metric with a limit in the wish. Without a limit, a time
        may be far above the baseline's, because a large batch takes long.

        Args:
            metrics: The point's metrics.
            baseline: The baseline's metrics, of the same split.
            objectives: The study's goals.
            quality_metric: The workload's quality.
        """
        limits = self.constraints(baseline, quality_metric)
        goals = [goal for goal in objectives if not goal.is_ratio_scale]
        goals += [Objective(each.metric, each.direction) for each in limits]
        ends = reference_point(baseline, goals, limits)
        return bool((losses([metrics], goals)[0] <= ends).all())

    def has_batch(self, candidate: Candidate) -> bool:
        """Tell whether a candidate has the wish's batch size, if there is one."""
        return self.batch_size is None or candidate.run.batch_size == self.batch_size

    @property
    def text(self) -> str:
        """The wish in words; empty without a wish."""
        words = []
        if self.max_latency_ms is not None:
            words.append(f"{self.latency_metric} ≤ {self.max_latency_ms:g}")
        if self.max_quality_drop is not None:
            words.append(f"a quality drop ≤ {self.max_quality_drop:g}")
        if self.min_quality is not None:
            words.append(f"a quality ≥ {self.min_quality:g}")
        if self.batch_size is not None:
            words.append(f"batch size {self.batch_size}")
        return ", ".join(words)

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {key: value for key, value in asdict(self).items() if value not in (None, ())}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Wish:
        """Undo :meth:`as_dict`."""
        limits = tuple(Constraint(**limit) for limit in values.get("limits", ()))
        return cls(**{**values, "limits": limits})


ANYTHING = Wish()
"""No wish: everything counts that is not much worse than the baseline."""
