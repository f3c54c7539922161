"""Judgement: from the launches of the points that were measured again to what is published."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from paretune.runners.measure.campaign import Campaign, Entry
from paretune.runners.measure.evaluator import Evaluator, resampled_quality
from paretune.runners.measure.flips import with_flips
from paretune.runners.measure.launch_statistics import summarize
from paretune.runners.measure.measurement import Measurement
from paretune.runners.measure.statistic import Statistic
from paretune.runners.metric import metric_of
from paretune.search.confirm.fresh_points import FreshPoints, Point
from paretune.search.confirm.publication import Verdict, probability_non_dominated, publish
from paretune.search.record.confirmed import Confirmed
from paretune.search.record.history import History
from paretune.search.record.objective import losses
from paretune.search.record.trial import TrialRecord

_LARGE_CHANGE = 1.25
"""Times by which the machine is slower or faster than in the search that deserve a word. Chosen by
judgement.
"""

_LOG = logging.getLogger("paretune")


class Judgement:
    """Judges points by the launches that they have so far.

    Args:
        history: The study.
        evaluator: Summarizes launches on the test split, with the careful settings.
        campaign: The launches of the points' entries.
    """

    def __init__(self, history: History, evaluator: Evaluator, campaign: Campaign) -> None:
        self.history, self.evaluator, self.campaign = history, evaluator, campaign

    def interim(self, points: list[Point]) -> tuple[set[int], list[Entry]]:
        """Return what would be published now, and which entries need no further launch.

        Args:
            points: At least one, each with a launch.

        Returns:
            The trial numbers of the published points, and the entries that are dominated despite
            all noise; the baseline goes on.
        """
        fresh = self._together(points)
        share = probability_non_dominated(fresh.draws)
        hopeless = [
            point.entry
            for point, likely in zip(fresh.points, share, strict=True)
            if likely == 0 and point.record is not self.history.baseline
        ]
        verdicts = self._verdicts(fresh, self._left_out(points))
        return {p.record.number for p, v in verdicts.items() if v.is_published}, hopeless

    def final(self, points: list[Point]) -> list[Confirmed]:
        """Return the fresh values, which points are published, and why the others are not."""
        if not points:
            return []
        fresh, left_out = self._together(points), self._left_out(points)
        tell_of_change(fresh.changes())
        verdicts = self._verdicts(fresh, left_out)
        judged = list(verdicts)
        baseline = (p.answers for p in points if p.record is self.history.baseline)
        answers = next(baseline, "")
        return [
            self._confirmed(
                point,
                self._fresh(point, fresh.statistics(place), answers),
                left_out.get(point, ""),
                verdicts,
                judged,
            )
            for place, point in enumerate(points)
        ]

    def _together(self, points: list[Point]) -> FreshPoints:
        launches = [self.campaign.timing(point.entry).launches for point in points]
        history = self.history
        return FreshPoints(
            points,
            launches,
            history.objectives,
            history.quality_metric,
            history.of_interest,
            self.evaluator.machine,
        )

    def _verdicts(self, fresh: FreshPoints, left_out: Mapping[Point, str]) -> dict[Point, Verdict]:
        """Return the verdict on each judged point; places refer to the judged points."""
        places = [i for i, point in enumerate(fresh.points) if point not in left_out]
        values = losses([fresh.metrics(i) for i in places], self.history.objectives)
        verdicts = publish(values, fresh.draws[:, places])
        return dict(zip((fresh.points[i] for i in places), verdicts, strict=True))

    def _confirmed(
        self,
        point: Point,
        fresh: Measurement,
        left_out: str,
        verdicts: Mapping[Point, Verdict],
        judged: Sequence[Point],
    ) -> Confirmed:
        verdict = verdicts.get(point, Verdict(0.0, None))
        row = judged[verdict.row] if verdict.is_published and verdict.row is not None else None
        return Confirmed(
            number=point.record.number,
            measurement=fresh,
            probability=verdict.probability,
            is_published=row is point,
            same_as=None if row is None or row is point else row.record.number,
            row_probability=verdict.row_probability if row is point else None,
            why_not=left_out or verdict.why_not([each.record.number for each in judged]),
            resampled=tuple(point.resampled),
        )

    def _left_out(self, points: Sequence[Point]) -> dict[Point, str]:
        """Return the points that are not judged, with the reason from their fresh values."""
        fresh = {point: self._as_record(point) for point in points}
        base = next((each.metrics for each in fresh.values() if each.number == 0), None)
        reasons = {}
        for point, record in fresh.items():
            broken = [
                f"breaks a constraint of the study: {limit.metric} "
                f"{record.metrics[limit.metric]:g} "
                f"against {limit.bound:g}"
                for limit in self.history.constraints
                if limit.violation(record.metrics[limit.metric]) > 0
            ]
            if broken:
                reasons[point] = "; ".join(broken)
            elif base is not None and not self.history.is_of_interest(record, base):
                reasons[point] = "too far below the baseline's quality, or outside the wish"
        return reasons

    def _as_record(self, point: Point) -> TrialRecord:
        """Return a point's trial with its fresh values, as far as limits need them."""
        old = point.record.measurement
        if old is None or not point.entry.launches:
            return point.record
        launches = self.campaign.timing(point.entry).launches
        statistics = {
            **old.statistics,
            **summarize(launches, point.record.candidate.run.batch_size),
            self.history.quality_metric: Statistic(point.quality),
        }
        return replace(point.record, outcome=replace(old, statistics=statistics))

    def _fresh(
        self, point: Point, times: Mapping[str, Statistic], baseline_answers: str
    ) -> Measurement:
        """Return a point's measurement as it is published."""
        run, timing = point.record.candidate.run, self.campaign.timing(point.entry)
        measured = self.evaluator.measurement(point.entry.artifact, run, timing)
        quality = resampled_quality(point.quality, point.resampled)
        old = point.record.measurement
        others = {name: each.for_repetition() for name, each in measured.statistics.items()}
        more = {name: Statistic(value) for name, value in point.more.items()}
        fresh = replace(
            measured,
            statistics={**others, **times, **more, self.history.quality_metric: quality},
            providers=old.providers if old else {},
            answers=point.answers,
        )
        return with_flips(fresh, baseline_answers, self.evaluator.store)


def tell_of_change(changes: Mapping[str, float]) -> None:
    """Log it if the machine is much slower or faster than in the search.

    Args:
        changes: For each timed objective, how many times as large its values are.
    """
    name = max(changes, key=lambda each: abs(math.log(changes[each])), default="")
    if name and abs(math.log(changes[name])) > math.log(_LARGE_CHANGE):
        _LOG.warning(
            "%s is %.2g times what the search measured (median of the points): the machine changed "
            "in between, so the intervals are wider",
            metric_of(name).head,
            changes[name],
        )
