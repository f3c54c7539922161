"""The history of a study: its finished trials, and values derived from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from paretune.search.record.confirmed import CLOSE_CALL, Confirmed
from paretune.search.record.hypervolume import hypervolume
from paretune.search.record.objective import Constraint, Objective, losses
from paretune.search.record.trial import TrialRecord
from paretune.search.record.wish import ANYTHING, Wish
from paretune.spaces import Candidate


class History:
    """Finished trials under a study's objectives and constraints.

    Derived values are updated with each new trial, so that a trial costs as little in a long study
    as in a short one.

    Args:
        objectives: The study's objectives.
        constraints: The study's limits.
        quality_metric: Name of the workload's quality metric.
        records: Finished trials, in any order.
        wish: What a person wants to pick.

    Attributes:
        records: Every trial, in order of arrival.
        measured: Those with a measurement.
        skipped: Those whose training was not worth its cost.
        failed: Those that could not be built or measured.
        feasible: Those measured that keep every constraint.
        frontier: The search frontier: the non-dominated feasible trials by the search's values, the
            first objective's best first.
        baseline: Trial 0, the uncompressed reference, if it was measured.
        confirmed: The points that were measured again, if the study was confirmed.
    """

    def __init__(
        self,
        objectives: Sequence[Objective],
        constraints: Sequence[Constraint] = (),
        quality_metric: str = "accuracy",
        records: Sequence[TrialRecord] = (),
        wish: Wish = ANYTHING,
    ) -> None:
        self.wish = wish
        self.quality_metric = quality_metric
        self.objectives = tuple(objectives)
        self.constraints = tuple(constraints)
        self.records: list[TrialRecord] = []
        self.measured: list[TrialRecord] = []
        self.skipped: list[TrialRecord] = []
        self.failed: list[TrialRecord] = []
        self.feasible: list[TrialRecord] = []
        self.frontier: list[TrialRecord] = []
        self.baseline: TrialRecord | None = None
        self.confirmed: list[Confirmed] = []
        self._points = losses([], self.objectives)
        self._volume: float | None = None
        self._causes: dict[str, tuple[str, list[int]]] = {}
        self._by_candidate: dict[Candidate, TrialRecord] = {}
        for record in sorted(records, key=lambda record: record.number):
            self.add(record)

    def __repr__(self) -> str:
        return f"<History: {len(self.records)} trials, {self.counts}>"

    @property
    def counts(self) -> str:
        """How many trials were measured, skipped and failed, in words."""
        kinds = {"measured": self.measured, "skipped": self.skipped, "failed": self.failed}
        return ", ".join(f"{len(records)} {name}" for name, records in kinds.items())

    def empty_copy(self) -> History:
        """Return the same study without trials, to replay it."""
        return History(self.objectives, self.constraints, self.quality_metric, wish=self.wish)

    def add(self, record: TrialRecord) -> None:
        """Add a finished trial.

        Raises:
            ValueError: If an objective's value is NaN, or lacks a logarithm that is needed.
        """
        if record.measurement:
            if self.is_feasible(record):
                self._rank(record)
                self.feasible.append(record)
            self.measured.append(record)
            self._by_candidate[record.candidate] = record
            if record.number == 0:
                self.baseline, self._volume = record, None
        elif record.skip:
            self.skipped.append(record)
        elif record.failure:
            self.failed.append(record)
            _, numbers = self._causes.setdefault(record.failure.cause, (record.failure.words, []))
            numbers.append(record.number)
        self.records.append(record)

    def measured_as(self, candidate: Candidate) -> TrialRecord | None:
        """Return the measured trial of a candidate, or ``None`` if there is none."""
        return self._by_candidate.get(candidate)

    def is_feasible(self, record: TrialRecord | Confirmed) -> bool:
        """Tell whether a measured trial, or a confirmed point, keeps every constraint."""
        return all(c.violation(record.metrics[c.metric]) <= 0 for c in self.constraints)

    def is_of_interest(
        self, point: TrialRecord | Confirmed, baseline: Mapping[str, float] | None = None
    ) -> bool:
        """Tell whether a measured point is near enough to the wish to be measured again.

        It is if its quality is not below the quality that counts (see :meth:`Wish.holds`) and
        it roughly keeps the limits and the batch size of the wish, if any. The baseline always is.

        Args:
            point: A measured trial, or a confirmed point.
            baseline: The baseline's metrics of the split that the point was measured on; by default
                the validation split, that of the search.
        """
        base = self.baseline.metrics if baseline is None and self.baseline else baseline
        if point.number == 0 or base is None or point.measurement is None:
            return True
        batch_size = self.wish.batch_size
        if batch_size is not None and point.measurement.run.batch_size != batch_size:
            return False
        return self.wish.holds(point.metrics, base, self.objectives, self.quality_metric)

    @property
    def of_interest(self) -> list[TrialRecord]:
        """The feasible trials that are of interest (see :meth:`is_of_interest`)."""
        return [record for record in self.feasible if self.is_of_interest(record)]

    @property
    def reference(self) -> NDArray[np.float64] | None:
        """The losses of the hypervolume's reference point; ``None`` without a baseline.

        See :func:`reference_point`.
        """
        if self.baseline is None:
            return None
        metrics, batch_size = self.baseline.metrics, self.baseline.candidate.run.batch_size
        return self.wish.reference(metrics, self.objectives, self.quality_metric, batch_size)

    @property
    def hypervolume(self) -> float | None:
        """The exact hypervolume of the frontier; ``None`` without a measured baseline.

        In the objectives' own scale (logarithms of times, rates and sizes), from
        :attr:`reference`. As long as the wish stays the same, it only grows with new trials.
        """
        if self._volume is None and (reference := self.reference) is not None:
            self._volume = hypervolume(self._points, reference)
        return self._volume

    @property
    def published(self) -> list[Confirmed]:
        """The published frontier, by fresh values only, the first objective's best first."""
        first = self.objectives[0]
        points = [point for point in self.confirmed if point.is_published]
        return sorted(points, key=lambda p: (first.loss(p.metrics[first.metric]), p.number))

    @property
    def unconfirmed(self) -> list[TrialRecord]:
        """The points of the search frontier that were not measured again; none before the first."""
        known = {point.number for point in self.confirmed}
        if not known:
            return []
        return [r for r in self.frontier if r.number not in known and self.is_of_interest(r)]

    @property
    def close_calls(self) -> list[Confirmed]:
        """Confirmed points that are more likely non-dominated than not, but not published."""
        found = [p for p in self.confirmed if not p.is_published and p.same_as is None]
        found = [p for p in found if p.probability >= CLOSE_CALL and self.is_feasible(p)]
        return sorted(found, key=lambda point: (-point.probability, point.number))

    def as_published(self) -> History:
        """Return the history to show, in which confirmed trials have their fresh values.

        Its frontier is the published one. Without published points it is this history itself.
        """
        if not self.published:
            return self
        fresh = {point.number: point.measurement for point in self.confirmed}
        records = [
            replace(record, outcome=fresh[record.number]) if record.number in fresh else record
            for record in self.records
        ]
        shown = History(self.objectives, self.constraints, self.quality_metric, records, self.wish)
        shown.confirmed = self.confirmed
        by_number = {record.number: record for record in records}
        shown.frontier = [by_number[point.number] for point in self.published]
        return shown

    @property
    def failures_by_cause(self) -> list[tuple[str, list[int]]]:
        """The first failure of each cause in words, with the trials' numbers; most trials first."""
        return sorted(self._causes.values(), key=lambda each: -len(each[1]))

    @property
    def common_cause(self) -> str | None:
        """The cause of failure that all trials so far share, if none was measured."""
        is_all = len(self._causes) == 1 and len(self.failed) == len(self.records)
        return next(iter(self._causes)) if is_all else None

    def _rank(self, record: TrialRecord) -> None:
        """Put a feasible, non-dominated trial on the frontier, in place of those it dominates."""
        point = losses([record.metrics], self.objectives)
        if np.isnan(point).any():
            raise ValueError(f"trial {record.number} has an objective with the value NaN")
        no_worse = (self._points <= point).all(axis=1)
        no_better = (self._points >= point).all(axis=1)
        if (no_worse & ~no_better).any():
            return
        stays = np.flatnonzero(no_worse | ~no_better)
        records = [*(self.frontier[i] for i in stays), record]
        points = np.vstack([self._points[stays], point])
        order = sorted(range(len(points)), key=lambda i: (points[i, 0], records[i].number))
        self._points = points[order]
        self.frontier = [records[i] for i in order]
        self._volume = None
