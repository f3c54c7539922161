"""The history of a study: its finished trials, and what follows from them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from search.hypervolume import hypervolume
from search.objective import Constraint, Objective, losses, reference_point
from search.pareto import non_dominated
from search.trial import TrialRecord


class History:
    """Finished trials under a study's objectives and constraints.

    Args:
        objectives: What the study optimizes.
        constraints: The limits it keeps.
        quality_metric: Name of the workload's quality metric.
        records: Finished trials, in any order.
    """

    def __init__(
        self,
        objectives: Sequence[Objective],
        constraints: Sequence[Constraint] = (),
        quality_metric: str = "accuracy",
        records: Sequence[TrialRecord] = (),
    ) -> None:
        self.quality_metric = quality_metric
        self.objectives = tuple(objectives)
        self.constraints = tuple(constraints)
        self.records = sorted(records, key=lambda record: record.number)

    def add(self, record: TrialRecord) -> None:
        """Add a finished trial."""
        self.records.append(record)

    @property
    def measured(self) -> list[TrialRecord]:
        """Trials with a measurement."""
        return [record for record in self.records if record.measurement]

    @property
    def skipped(self) -> list[TrialRecord]:
        """Trials whose training was not worth paying for."""
        return [record for record in self.records if record.skip]

    @property
    def failed(self) -> list[TrialRecord]:
        """Trials that could not be built or measured."""
        return [record for record in self.records if record.failure]

    @property
    def baseline(self) -> TrialRecord | None:
        """Trial 0, the uncompressed reference, if it was measured."""
        return next((record for record in self.measured if record.number == 0), None)

    def is_feasible(self, record: TrialRecord) -> bool:
        """Tell whether a measured trial keeps every constraint."""
        return all(c.violation(record.metrics[c.metric]) <= 0 for c in self.constraints)

    @property
    def frontier(self) -> list[TrialRecord]:
        """The non-dominated feasible trials, the first objective's best first."""
        feasible = [record for record in self.measured if self.is_feasible(record)]
        values = losses([record.metrics for record in feasible], self.objectives)
        best = [feasible[i] for i in np.flatnonzero(non_dominated(values))]
        first = self.objectives[0]
        return sorted(best, key=lambda r: (first.loss(r.metrics[first.metric]), r.number))

    @property
    def hypervolume(self) -> float | None:
        """The exact hypervolume of the frontier; ``None`` without a measured baseline.

        In the objectives' own scale (logarithms of times, rates and sizes), from
        :func:`search.objective.reference_point`. It only grows as trials come in.
        """
        if self.baseline is None:
            return None
        points = losses([record.metrics for record in self.frontier], self.objectives)
        return hypervolume(points, reference_point(self.baseline.metrics, self.objectives))

    @property
    def failures_by_cause(self) -> list[tuple[str, int]]:
        """Causes of failure and how often each occurred, the commonest first."""
        causes = Counter(record.failure.cause for record in self.records if record.failure)
        return causes.most_common()

    @property
    def common_cause(self) -> str | None:
        """The cause of failure of every trial so far, if none was measured and all share one."""
        causes = self.failures_by_cause
        return causes[0][0] if len(causes) == 1 and len(self.failed) == len(self.records) else None
