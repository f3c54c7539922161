"""What ``paretune status --json`` prints: how far a study is."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import Literal

from pydantic import Field

from paretune.search.cli.values.base import Values
from paretune.search.record.gains import gains
from paretune.search.record.history import History
from paretune.search.record.search_time import seconds_per_trial
from paretune.search.review.terminal.best import Best
from paretune.search.storage.study_storage import StudyStorage
from paretune.search.study.open_study import OpenStudy

State = Literal["starting", "running", "confirming", "finished", "interrupted", "failed", "killed"]

_STATES: dict[str, State] = {"FINISHED": "finished", "KILLED": "interrupted", "FAILED": "failed"}


class StageValues(Values):
    """The time that one stage took."""

    seconds: float = Field(description="Seconds in all trials together.")
    times: int = Field(description="How often it ran.")


class CauseValues(Values):
    """A cause of failures."""

    cause: str = Field(description="The stage, the kind and the first line of the message.")
    trials: int = Field(description="Trials that failed so.")


class BestValues(Values):
    """What a pick would take: the best trial within the limits of the search's `wish`.

    Without limits, it is the fastest whose quality is at most 1 % below the baseline's.
    """

    trial: int = Field(description="Its number; 0 is the baseline.")
    candidate: str = Field(description="What it is, in words.")
    latency_metric: str = Field(description="The latency that is compared.")
    times_faster: float = Field(description="The baseline's latency ÷ its own: above 1 is faster.")
    quality_change: float = Field(description="Its quality − the baseline's: negative is a loss.")


class StatusValues(Values):
    """The progress of a study."""

    study: str = Field(description="The study file.")
    name: str = Field(description="The study's name.")
    state: State = Field(
        description="`starting`, then `running` (trials), then `confirming` (points are measured "
        "again); then `finished`, `interrupted`, `failed` (see `ended`), or `killed`: the same "
        "search continues."
    )
    is_running: bool = Field(description="Whether a process searches or confirms it now.")
    process: str | None = Field(description="That process and its host; null if none.")
    ended: str | None = Field(description="Why it ended; null while it runs, or if it was killed.")
    budget_trials: int = Field(description="Trials in the whole study, the baseline included.")
    budget_hours: float | None = Field(description="Hours of the last search; null without.")
    time_left_s: float | None = Field(
        description="Seconds until the budget is spent, by the pace of the last ten trials. Hours "
        "include the confirmation, trials do not. Null if no trial of this search has ended, or "
        "all have."
    )
    trials: int = Field(description="Trials that have ended.")
    measured: int = Field(description="Those with a measurement.")
    skipped: int = Field(description="Those that were not trained, because they could not matter.")
    failed: int = Field(description="Those that could not be built or measured.")
    on_frontier: int = Field(description="Trials on the search's own frontier.")
    confirmed: int = Field(description="Points that were measured again at the end.")
    published: int = Field(description="Those of them on the published frontier.")
    quality_metric: str = Field(description="What quality is measured by, such as `accuracy`.")
    best: BestValues | None = Field(
        description="The best so far, by published values if there are any; null if no trial "
        "keeps the limits."
    )
    hypervolume: float | None = Field(
        description="Of the search's frontier, on a log scale: higher is better; null at first."
    )
    stages: dict[str, StageValues] = Field(
        description="Time by stage, such as `quantize` or `measure`, the longest first."
    )
    saved_seconds: float = Field(description="Seconds of stages found in the store instead.")
    machine_drift: float | None = Field(
        description="How much slower the machine was at its slowest trial: 0.02 is 2 %."
    )
    failures: list[CauseValues] = Field(description="Causes of failure, the most frequent first.")


def status_values(study: Path) -> StatusValues:
    """Return the progress of a study; nothing is written, and a search may be running.

    Args:
        study: The study file.

    Raises:
        ConfigError: If the study file has mistakes.
        StudyError: If the study has not been started.
    """
    opened = OpenStudy(study)
    return values_of(opened, opened.history())


def values_of(study: OpenStudy, history: History) -> StatusValues:
    """Return the progress of a study whose history is known.

    Args:
        study: The study.
        history: Its history, just read.
    """
    storage = study.storage
    owner, ended = storage.owner, storage.ended
    budget = storage.budget or {}
    trials = int(budget.get("trials", study.config.budget.trials))
    now: State = "confirming" if storage.is_confirming else "running"
    state: State = now if owner else _STATES[ended[1]] if ended else "killed"
    is_searching = state == "running" and len(history.records) < trials
    spent: Counter[str] = Counter()
    times: Counter[str] = Counter()
    for record in history.records:
        spent.update(record.stage_seconds)
        times.update(record.stage_seconds.keys())
    canaries = [record.measurement.canary_ms for record in history.measured if record.measurement]
    return StatusValues(
        study=str(study.file),
        name=study.name,
        state=state,
        is_running=owner is not None,
        process=owner.process if owner else None,
        ended=None if owner or not ended else ended[0],
        budget_trials=trials,
        budget_hours=budget.get("hours", study.config.budget.hours),
        time_left_s=_time_left(history, storage, trials) if is_searching else None,
        trials=len(history.records),
        measured=len(history.measured),
        skipped=len(history.skipped),
        failed=len(history.failed),
        on_frontier=len(history.frontier),
        confirmed=len(history.confirmed),
        published=len(history.published),
        quality_metric=history.quality_metric,
        best=_best(history.as_published()),
        hypervolume=history.hypervolume,
        stages={
            stage: StageValues(seconds=seconds, times=times[stage])
            for stage, seconds in spent.most_common()
        },
        saved_seconds=sum(record.saved_seconds for record in history.records),
        machine_drift=max(canaries) / min(canaries) - 1 if canaries else None,
        failures=[CauseValues(cause=c, trials=len(n)) for c, n in history.failures_by_cause],
    )


def _best(history: History) -> BestValues | None:
    found, base = Best().update(history), history.baseline
    if found is None or base is None:
        return None
    gained = gains(found.metrics, base.metrics, history)
    return BestValues(
        trial=found.number,
        candidate=found.candidate.label,
        latency_metric=gained.latency_metric,
        times_faster=gained.times_faster,
        quality_change=gained.quality_change,
    )


def _time_left(history: History, storage: StudyStorage, trials: int) -> float | None:
    """Return the seconds until the budget of the running search is spent."""
    budget = storage.budget
    if budget is None:
        return None  # begun by an earlier version
    since: float = budget["since"]
    ends = sorted(record.finished_at for record in history.records if record.finished_at > since)
    if not ends:
        return None
    left = (trials - len(history.records)) * seconds_per_trial([since, *ends])
    if budget["hours"] is not None:
        left = min(left, max(since + budget["hours"] * 3600 - time.time(), 0.0))
    return left
