"""Confirmation: the plausible frontier measured again; only these fresh values are published.

A search reports the best of many noisy values, and the best of many is lucky: points of its
frontier were measured on a good minute, or their quality on samples that suited them (the winner's
curse). So what may be on the frontier is measured once more, in fresh processes that take turns,
with the careful protocol, and its quality comes from the test split, which the search never saw.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from runners.campaign import Campaign, Entry
from runners.evaluator import Evaluator
from runners.failure import Failure
from runners.launch import summarize
from runners.measurement import Measurement
from runners.statistic import Statistic
from search.confirmed import Confirmed
from search.fresh_points import DRAWS, FreshPoints, Point
from search.history import History
from search.plausible import plausible, probability_non_dominated, stand
from search.trial import TrialRecord

_STABLE_ROUNDS = 3
_SHORTEST_LAUNCHES = 2
_UNKNOWN_LAUNCH_S = 2.0
_LARGEST_SHARE = 0.35

Progress = Callable[[int, int, int], None]
"""Told the round, the points that need more, and all points."""


class Confirmation:
    """Measures the plausible frontier of a study again.

    Args:
        history: The study.
        evaluator: Measures on the test split, with the careful settings.
        resample: Gives the qualities of bootstrap samples of that split from outputs.
        progress: Told about each round.

    Attributes:
        interruption: What ended it early (Ctrl-C, SIGTERM): then what it gives is what there was.
    """

    def __init__(
        self,
        history: History,
        evaluator: Evaluator,
        resample: Callable[[Path], list[float] | Failure],
        progress: Progress = lambda *_: None,
    ) -> None:
        self.history = history
        self.evaluator = evaluator
        self.resample = resample
        self.progress = progress
        self.interruption: KeyboardInterrupt | None = None
        self._campaign = Campaign(evaluator.runners, evaluator.samples, evaluator.settings, [])
        self._trials = -1
        self._expected_s = 0.0

    def seconds(self, budget_s: float) -> float:
        """Return the time to keep for it, of a budget: at most about a third."""
        # The loop asks again and again, and in a long study the answer takes a while.
        if len(self.history.records) != self._trials:
            self._trials = len(self.history.records)
            self._expected_s = len(self._wanted()) * self._seconds_a_point()
        return min(self._expected_s, _LARGEST_SHARE * budget_s)

    def run(self, deadline: float | None = None) -> list[Confirmed]:
        """Measure what may be on the frontier, and the baseline.

        Args:
            deadline: On :func:`time.monotonic`. Points for which there is no time are left out, the
                unlikeliest first.

        Returns:
            What was confirmed, by trial number.
        """
        wanted = self._wanted()
        if deadline is not None:
            left_s = deadline - time.monotonic()
            wanted = wanted[: max(1, int(left_s / self._seconds_a_point()))]
        points: list[Point] = []
        try:
            for done, record in enumerate(wanted):
                self.progress(0, len(wanted) - done, len(wanted))
                if (point := self._point(record)) is not None:
                    points.append(point)
                    self._campaign.entries.append(point.entry)
            self._measure(points, deadline)
        except KeyboardInterrupt as interruption:
            self.interruption = interruption
        fewest = min(_SHORTEST_LAUNCHES, self.evaluator.settings.launches)
        whole = [p for p in points if not p.entry.failure and len(p.entry.launches) >= fewest]
        return self._judge(whole)

    def _wanted(self) -> list[TrialRecord]:
        points, base = plausible(self.history), self.history.baseline
        return points if base is None or base in points else [base, *points]

    def _seconds_a_point(self) -> float:
        """Return what a point is expected to take, from what the search's launches took."""
        spent = [
            record.stage_seconds["measure"] / record.measurement.launches
            for record in self.history.measured
            if record.measurement and "measure" in record.stage_seconds
        ]
        launch_s = float(np.median(spent)) if spent else _UNKNOWN_LAUNCH_S
        settings = self.evaluator.settings
        return (settings.launches + _STABLE_ROUNDS) * (launch_s + settings.min_seconds) + launch_s

    def _point(self, record: TrialRecord) -> Point | None:
        """Return a point with its quality on the test split, or ``None`` if it no longer works."""
        measurement, evaluator = record.measurement, self.evaluator
        model = evaluator.store.get(measurement.artifact) if measurement else None
        if model is None:
            return None
        run = record.candidate.run
        with evaluator.store.scratch() as folder:
            settings = evaluator.settings
            runner = evaluator.runners[run.runner]
            prediction = runner.predict(model, run, evaluator.samples, folder, settings)
            if isinstance(prediction, Failure):
                return None
            quality = evaluator.score(prediction.outputs)
            resampled = self.resample(prediction.outputs)
        if isinstance(quality, Failure):
            return None
        if isinstance(resampled, Failure):
            # Some metrics need a sample of every class: then the quality has no interval.
            resampled = [quality] * DRAWS
        return Point(record, Entry(model, run), quality, resampled)

    def _measure(self, points: list[Point], deadline: float | None) -> None:
        """Measure in rounds until every interval is tight, or the frontier stays what it is.

        What is clearly dominated by then is left out of further rounds.
        """
        settings, campaign = self.evaluator.settings, self._campaign
        entries = campaign.entries
        out: list[Entry] = []
        number, stable, before = 0, 0, None
        with self.evaluator.store.scratch() as folder:
            while stable < _STABLE_ROUNDS:
                number += 1
                left = sum(not (e.failure or e in out or campaign.is_settled(e)) for e in entries)
                self.progress(number, left, len(entries))
                if not campaign.round(folder, out, deadline):
                    return
                if number >= settings.launches:
                    running = [p for p in points if p.entry.launches and not p.entry.failure]
                    if not running:
                        return
                    fresh = self._together(running)
                    out = self._hopeless(fresh)
                    published, _ = self._standing(fresh)
                    numbers = {point.record.number for point in published}
                    stable = stable + 1 if numbers == before else 0
                    before = numbers

    def _hopeless(self, fresh: FreshPoints) -> list[Entry]:
        """Return the entries that are dominated whatever the noise; the baseline stays."""
        share = probability_non_dominated(fresh.draws)
        return [
            point.entry
            for point, likely in zip(fresh.points, share, strict=True)
            if likely == 0 and point.record is not self.history.baseline
        ]

    def _together(self, points: list[Point]) -> FreshPoints:
        launches = [self._campaign.timing(point.entry).launches for point in points]
        history = self.history
        return FreshPoints(points, launches, history.objectives, history.quality_metric)

    def _standing(self, fresh: FreshPoints) -> tuple[dict[Point, float], dict[Point, Point]]:
        """Return the published points with their probability, and what others are the same as.

        The probability of those that stand is that no other of them dominates it.
        """
        points = fresh.points
        rows = [i for i, p in enumerate(points) if self.history.is_feasible(self._as_record(p))]
        if not rows:
            return {}, {}
        share = probability_non_dominated(fresh.draws[:, rows])
        order = sorted(zip(-share, [points[row].record.number for row in rows], rows, strict=True))
        standing, same = stand(fresh.draws, [row for _, _, row in order])
        return (
            {points[row]: chance for row, chance in standing.items()},
            {points[row]: points[twin] for row, twin in same.items()},
        )

    def _judge(self, points: list[Point]) -> list[Confirmed]:
        """Return the fresh values, the published among them, and those that are no different."""
        if not points:
            return []
        fresh = self._together(points)
        published, same = self._standing(fresh)
        share = probability_non_dominated(fresh.draws)
        return [
            Confirmed(
                number=point.record.number,
                measurement=self._fresh(point, fresh.statistics(place)),
                probability=published.get(point, float(chance)),
                is_published=point in published,
                same_as=same[point].record.number if point in same else None,
                row_probability=published.get(point),
                resampled=tuple(point.resampled),
            )
            for place, (point, chance) in enumerate(zip(points, share, strict=True))
        ]

    def _as_record(self, point: Point) -> TrialRecord:
        """Return a point's trial with its fresh values, as far as limits may ask for them."""
        old = point.record.measurement
        if old is None or not point.entry.launches:
            return point.record
        launches = self._campaign.timing(point.entry).launches
        statistics = {
            **old.statistics,
            **summarize(launches, point.record.candidate.run.batch_size),
            self.history.quality_metric: Statistic(point.quality),
        }
        return replace(point.record, outcome=replace(old, statistics=statistics))

    def _fresh(self, point: Point, times: Mapping[str, Statistic]) -> Measurement:
        run, timing = point.record.candidate.run, self._campaign.timing(point.entry)
        measured = self.evaluator.measurement(point.entry.model, run, timing)
        low, high = np.percentile(point.resampled, [2.5, 97.5])
        quality = Statistic(point.quality, float(low), float(high))
        old = point.record.measurement
        others = {name: each.for_repetition() for name, each in measured.statistics.items()}
        return replace(
            measured,
            statistics={**others, **times, self.history.quality_metric: quality},
            providers=old.providers if old else {},
        )
