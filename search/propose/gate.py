"""The gate: decides before a training whether its candidate may still reach the frontier."""

from __future__ import annotations

from collections.abc import Mapping

from paretune.runners.measure.measurement import Measurement
from paretune.search.record.history import History
from paretune.search.record.trial import Skip, TrialRecord
from paretune.search.record.words import format_metric, values_text
from paretune.spaces import BuildSpec, Candidate

_LEAST_MARGIN = 0.01
"""Least margin of a bound on quality, as a share of the baseline's. Evidence: of 19 skipped
candidates that were built afterwards, none would have been on the frontier (`skipped.py`). Larger
margins skip less.
"""

_FEWEST_GAINS = 3
"""Second parts of trainings that must have ended before their gains bound the next one's. Chosen by
judgement.
"""


class Gate:
    """Judges candidates by their measured skeleton and the best quality they may reach.

    The quality is bounded from above by

    - the quality of every measured build that is compressed less: the same student (or the
      reference itself), pruned no more, quantized no more; and
    - once a part of the training is done, the quality after it, plus the largest gain that the
      rest of such a training has brought in this study (from three of them on),

    plus a margin: the most by which any build so far exceeded the first bound, and at least 1 % of
    the baseline's quality. What was measured counts with the favourable end of its interval: on 30
    samples a single answer is 3 % of the quality. A candidate that is still dominated, or breaks a
    limit, is not worth its training.

    Args:
        history: The study so far; read again at each judgement.
    """

    def __init__(self, history: History) -> None:
        self.history = history
        self._seen = 0
        self._builds: dict[BuildSpec, float] = {}
        self._gains: dict[str, list[float]] = {}
        self._exceeded = 0.0

    def judge(
        self,
        candidate: Candidate,
        skeleton: Measurement,
        before: str,
        stage_quality: Mapping[str, float],
    ) -> Skip | None:
        """Return why to skip a candidate, or ``None`` if it may reach the frontier.

        Args:
            candidate: The candidate.
            skeleton: Its measurement without (full) training.
            before: The next training stage.
            stage_quality: Qualities after the previous stages, by stage.
        """
        bound = self.quality_bound(candidate.build, before, stage_quality)
        if bound is None:
            return None
        best = _favourable(skeleton, self.history) | {self.history.quality_metric: bound}
        for limit in self.history.constraints:
            if limit.violation(best[limit.metric]) > 0:
                value = format_metric(limit.metric, best[limit.metric])
                reason = f"at best {limit.metric} {value}, which breaks its limit"
                return Skip(before, reason, bound, skeleton)
        goals = self.history.objectives
        if any(goal.is_ratio_scale and best[goal.metric] <= 0 for goal in goals):
            return None  # With too few launches the interval reaches zero.
        for record in self.history.frontier:
            if all(g.loss(record.metrics[g.metric]) <= g.loss(best[g.metric]) for g in goals):
                at_best = values_text(self.history, best)
                reason = f"at best {at_best}: trial {record.number} is no worse in any of them"
                return Skip(before, reason, bound, skeleton)
        return None

    def quality_bound(
        self, build: BuildSpec, before: str = "", stage_quality: Mapping[str, float] | None = None
    ) -> float | None:
        """Return an upper bound on a build's quality, if anything is known."""
        self._catch_up()
        if self.history.baseline is None:
            return None
        quality = self.history.baseline.metrics[self.history.quality_metric]
        bounds = [q for other, q in self._builds.items() if other.is_compressed_less(build)]
        reached = stage_quality or {}
        gains = self._gains.get(before, [])
        if f"{before}-short" in reached and len(gains) >= _FEWEST_GAINS:
            bounds.append(reached[f"{before}-short"] + max(0.0, *gains))
        if before.startswith("fine-tune") and "distill" in reached:
            bounds.append(reached["distill"])
        if not bounds:
            return None
        return min(bounds) + max(_LEAST_MARGIN * abs(quality), self._exceeded)

    def _catch_up(self) -> None:
        for record in self.history.records[self._seen :]:
            self._learn(record)
        self._seen = len(self.history.records)

    def _learn(self, record: TrialRecord) -> None:
        for stage, quality in record.stage_quality.items():
            short = record.stage_quality.get(f"{stage}-short")
            if short is not None and stage in record.stage_seconds:
                self._gains.setdefault(stage, []).append(quality - short)
        if record.measurement is None:
            return
        build = record.candidate.build
        quality = record.measurement.statistics[self.history.quality_metric].ends[1]
        for other, known in self._builds.items():
            if other.is_compressed_less(build):
                self._exceeded = max(self._exceeded, quality - known)
            elif build.is_compressed_less(other):
                self._exceeded = max(self._exceeded, known - quality)
        self._builds[build] = max(quality, self._builds.get(build, quality))


def _favourable(measurement: Measurement, history: History) -> dict[str, float]:
    """Return each metric at the favourable end of its interval for its objective or limit."""
    values = measurement.metrics
    for goal in history.objectives:
        if statistic := measurement.statistics.get(goal.metric):
            low, high = statistic.ends
            values[goal.metric] = low if goal.direction == "minimize" else high
    for limit in history.constraints:
        if statistic := measurement.statistics.get(limit.metric):
            values[limit.metric] = min(statistic.ends, key=limit.violation)
    return values
