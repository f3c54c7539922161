"""What MLflow should hold of a study: one run per study, one child run per trial.

Pure: all of it follows from the history. :mod:`run_tracking` applies the difference between this
and what MLflow holds, while a study runs and in ``paretune sync``; ``paretune doctor`` prints it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from paretune.search.record.confirmed import Confirmed
from paretune.search.record.gains import GAINS, gains
from paretune.search.record.history import History
from paretune.search.record.tracking import ENDINGS, Phase, Status
from paretune.search.record.trial import TrialRecord
from paretune.search.record.words import trial_markdown, with_interval
from paretune.search.review.mlflow.metric_names import CONFIRMED, MetricNames
from paretune.search.review.mlflow.run_state import HISTOGRAM, RunState, Value
from paretune.search.review.shortfall import is_parent, shortfalls

STUDY_TAG = "paretune.study_uid"
TRIAL_TAG = "paretune.trial"
ROLE_TAG = "paretune.role"
STATUS_TAG = "paretune.status"
NOTE_TAG = "mlflow.note.content"
_ENDED_TAG = "paretune.ended"

_TAG_CHARACTERS = 4000
"""MLflow allows twice as many; nobody reads that many."""

GROUPED_NAMES = MetricNames()
"""The names of numbers in a study that begins now."""

_SOURCE = {"mlflow.source.name": "paretune search"}


@dataclass(frozen=True)
class NewRun:
    """What a trial's run gets once, when it is made.

    Attributes:
        name: Its name.
        started_ms: Milliseconds since the epoch.
        ended_ms: Milliseconds since the epoch.
        tags: Texts that people may then change, such as the description.
        curves: The losses of its trainings, by epoch.
        texts: The contents of text files, by name.
    """

    name: str
    started_ms: int
    ended_ms: int
    tags: Mapping[str, str]
    curves: tuple[Value, ...]
    texts: Mapping[str, str]


class DesiredRuns:
    """What the runs of a study's trials should hold at the moment.

    Args:
        history: The study.
        uid: Distinguishes the study from others of its name.
        names: The names of its numbers.
    """

    def __init__(self, history: History, uid: str, names: MetricNames = GROUPED_NAMES) -> None:
        self.history = history
        self.names = names
        self.uid = uid
        self.search_frontier = {record.number for record in history.frontier}
        self._confirmed = {point.number: point for point in history.confirmed}
        published = {point.number for point in history.published}
        self._frontier = published if history.confirmed else self.search_frontier
        self._pictured = self.search_frontier | published

    def trial(self, record: TrialRecord) -> RunState:
        """Return the whole state of a trial's run."""
        standing = self.standing(record)
        numbers = trial_numbers(record, self.history, self.names)
        return RunState(
            "FAILED" if record.failure else "FINISHED",
            {name: str(value) for name, value in trial_params(record).items()},
            {**self._tags(record), **standing.tags},
            {**numbers, **standing.metrics},
            self.artifacts(record),
        )

    def new(self, record: TrialRecord) -> NewRun:
        """Return what a trial's run gets when it is made."""
        at_ms = int(record.finished_at * 1000)
        log = record.failure.log if record.failure else ""
        return NewRun(
            f"{record.number:04d} {record.candidate.label}",
            int(record.started_at * 1000),
            at_ms,
            {NOTE_TAG: trial_markdown(record, self.history)},
            tuple(
                Value(
                    self.names.within("training", f"train_loss_{stage.replace('-', '_')}"),
                    loss,
                    at_ms,
                    epoch,
                )
                for stage, losses in record.train_losses.items()
                for epoch, loss in enumerate(losses, start=1)
            ),
            {"failure.log": log} if log else {},
        )

    def standing(self, record: TrialRecord) -> RunState:
        """Return the part of a trial's run that may change while the study goes on.

        The tag ``frontier`` is the published frontier once the study was confirmed, and the
        search's own until then; ``search_frontier`` is always the search's own. Metrics that begin
        with ``confirmed_``, after their group, hold fresh values. Gains against the baseline use
        the search's values under plain names, and the fresh values of both under ``confirmed_``
        names.
        """
        baseline = self.history.baseline
        tags = {
            "frontier": _truth(record.number in self._frontier),
            "search_frontier": _truth(record.number in self.search_frontier),
        }
        if text := "; ".join(shortfalls(record, self.history)):
            tags["shortfall"] = text
        metrics: dict[str, float] = {}
        if record.measurement and baseline is not None:
            metrics |= self.names.of_metrics(self._gains(record.metrics, baseline.metrics))
        if (point := self._confirmed.get(record.number)) is not None:
            tags |= _verdict(point)
            metrics |= self._fresh(point)
        return RunState(tags=tags, metrics=metrics)

    def artifacts(self, record: TrialRecord) -> dict[str, str]:
        """Return the pictures of a trial's run: the histogram of a point on either frontier."""
        point, measurement = self._confirmed.get(record.number), record.measurement
        if record.number not in self._pictured or measurement is None:
            return {}
        if point is not None and point.is_published:
            measurement = point.measurement
        return {HISTOGRAM: measurement.samples}

    def concerned(self, record: TrialRecord, frontier: set[int]) -> list[TrialRecord]:
        """Return the trials whose standing a new one may have changed.

        These are the trials that joined or left the frontier, those that the new one is a parent of
        (see :func:`shortfalls`), and all trials if it is the baseline.

        Args:
            record: The new trial.
            frontier: The search's frontier before it.
        """
        moved = self.search_frontier ^ frontier
        return [
            each
            for each in self.history.records
            if record.number == 0
            or each.number in moved
            or is_parent(record.candidate, each.candidate)
        ]

    def _tags(self, record: TrialRecord) -> dict[str, str]:
        tags = {
            **_SOURCE,
            STUDY_TAG: self.uid,
            ROLE_TAG: "trial",
            TRIAL_TAG: str(record.number),
            "candidate": record.candidate.digest,
            "baseline": _truth(record.number == 0),
            "outcome": "measured" if record.measurement else "skipped" if record.skip else "failed",
        }
        if record.measurement:
            tags["artifact"] = record.measurement.artifact
            tags["feasible"] = _truth(self.history.is_feasible(record))
            tags["samples"] = record.measurement.samples
            environment = record.measurement.environment
            tags |= {f"environment.{name}": value for name, value in environment.items()}
        if record.failure:
            tags["failure.stage"] = record.failure.stage
            tags["failure.kind"] = record.failure.kind.value
            tags["failure.reason"] = record.failure.message[:_TAG_CHARACTERS]
        return tags

    def _fresh(self, point: Confirmed) -> dict[str, float]:
        baseline, fresh = self._confirmed.get(0), dict(point.metrics)
        if baseline is not None:
            fresh |= self._gains(point.metrics, baseline.metrics)
        fresh |= _sought_intervals(point.measurement.statistics, self.history)
        fresh = {f"{CONFIRMED}{name}": value for name, value in fresh.items()}
        chances = {"probability_non_dominated": point.probability}
        if point.row_probability is not None:
            chances["row_probability"] = point.row_probability
        told = {self.names.within("publication", name): p for name, p in chances.items()}
        return self.names.of_metrics(fresh) | told

    def _gains(
        self, metrics: Mapping[str, float], baseline: Mapping[str, float]
    ) -> dict[str, float]:
        found = gains(metrics, baseline, self.history)
        return {gain.mlflow: gain.in_mlflow(getattr(found, gain.name)) for gain in GAINS}


def study_run(
    definition: Mapping[str, Any], state: Phase | tuple[str, Status] | None = None
) -> RunState:
    """Return the state of a study's run.

    Args:
        definition: The study's definition.
        state: What it is doing, or why and how it ended; ``None`` if nobody knows.
    """
    goals = [f"{goal['direction']} {goal['metric']}" for goal in definition["objectives"]]
    params = {f"space.{axis}": ", ".join(map(str, v)) for axis, v in definition["space"].items()}
    tags = {**_SOURCE, STUDY_TAG: str(definition["uid"]), ROLE_TAG: "study"}
    status = ""
    if isinstance(state, tuple):
        reason, status = state
        tags |= {STATUS_TAG: ENDINGS[state[1]], _ENDED_TAG: reason[:_TAG_CHARACTERS]}
    elif state is not None:
        status, tags = "RUNNING", tags | {STATUS_TAG: state, _ENDED_TAG: ""}
    return RunState(status, params | {"objectives": ", ".join(goals)}, tags)


def trial_params(record: TrialRecord) -> dict[str, str | int | float]:
    """Return the candidate's value on each axis and derived values, by name."""
    quantization = record.candidate.build.quantization
    return {
        **record.candidate.params,
        "runner": record.candidate.run.runner,
        "weight_bits": quantization.weight_bits,
        "activation_bits": quantization.activation_bits,
    }


def trial_numbers(
    record: TrialRecord, history: History, names: MetricNames = GROUPED_NAMES
) -> dict[str, float]:
    """Return every number of a trial by name: metrics, intervals, knobs and seconds.

    Knobs are included because MLflow compares params as texts. Intervals are those of objectives
    and limits: logging a number takes a third of a millisecond, and :func:`trial_markdown` has the
    others.
    """
    params = {k: float(v) for k, v in trial_params(record).items() if not isinstance(v, str)}
    numbers = {names.within("knob", name): value for name, value in params.items()}
    numbers |= names.of_metrics(record.metrics)
    if record.measurement:
        numbers |= names.of_metrics(_sought_intervals(record.measurement.statistics, history))
    for stage, seconds in record.stage_seconds.items():
        numbers[names.within("time", f"stage_{stage.replace('-', '_')}_seconds")] = seconds
    return numbers | {names.within("time", "seconds"): record.seconds}


def _sought_intervals(statistics: Mapping[str, Any], history: History) -> dict[str, float]:
    """Return the values of objectives and limits that have an interval, with its ends."""
    sought = {goal.metric for goal in history.objectives}
    sought |= {limit.metric for limit in history.constraints}
    found: dict[str, float] = {}
    for name in sought & statistics.keys():
        values = with_interval(name, statistics[name])
        if None not in values.values():
            found |= {each: value for each, value in values.items() if value is not None}
    return found


def _verdict(point: Confirmed) -> dict[str, str]:
    tags = {
        "published": _truth(point.is_published),
        "paretune.confirmed_by": point.measurement.samples,
    }
    if point.same_as is not None:
        tags["same_as"] = str(point.same_as)
    if point.why_not:
        tags["why_not_published"] = point.why_not[:_TAG_CHARACTERS]
    return tags


def _truth(value: bool) -> str:
    """Return a boolean as filters write it."""
    return "true" if value else "false"
