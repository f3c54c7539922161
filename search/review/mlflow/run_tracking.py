"""MLflow, where runs are reviewed: what it should hold is applied here.

:mod:`desired_runs` says what that is. A study's runs are read once, when its tracking is opened;
from then on, only changes are written.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paretune.runners.execute.ongoing_stage import OngoingTraining
from paretune.search.record.history import History
from paretune.search.record.tracking import Phase, Status
from paretune.search.record.trial import TrialRecord
from paretune.search.review.mlflow.client import mlflow_client
from paretune.search.review.mlflow.desired_runs import (
    TRIAL_TAG,
    DesiredRuns,
    study_run,
)
from paretune.search.review.mlflow.experiment import (
    set_view,
    study_experiment,
    study_runs,
    trial_runs,
)
from paretune.search.review.mlflow.metric_names import GROUPED, NAMES_TAG, MetricNames
from paretune.search.review.mlflow.origin import git_tags, log_splits
from paretune.search.review.mlflow.pictures import MlflowReview
from paretune.search.review.mlflow.run_state import HISTOGRAM, RunState, Value
from paretune.search.review.mlflow.study_progress import progress, replayed_progress

if TYPE_CHECKING:
    from mlflow.entities import Run

_PICTURES_AFTER = 10
"""Trials between two pictures at least: drawing one takes as long as some trials' logging."""

_PICTURES_GROWTH = 0.1
"""Share by which a study has grown before the next picture, since that costs more with more trials.
Chosen by judgement: it keeps the pictures' share of the time constant."""

_PROGRESS_EVERY_S = 5.0
"""Seconds between two updates of the study's run. In a sweep, trials take a second each, and nobody
looks that often."""

_BATCH = 900
"""Metrics per request; MLflow takes a thousand."""

TRAINING_TAG = "training"
"""The study's tag for what trains at the moment, in words."""

_PARENT_TAG = "mlflow.parentRunId"


class MlflowTracking:
    """One study in MLflow.

    Args:
        uri: MLflow tracking URI.
        name: The study's name, also that of the experiment.
        definition: The study's definition; its ``uid`` distinguishes studies of one name in
            different storages.
        artifacts: Folder for artifacts, or ``None`` for the server's own.
        study_file: Logged to the study's run.
        review: Logs pictures, tables and models.
    """

    def __init__(
        self,
        uri: str,
        *,
        name: str,
        definition: Mapping[str, Any],
        artifacts: Path | None,
        study_file: Path,
        review: MlflowReview,
    ) -> None:
        self.client = mlflow_client(uri)
        self.review = review
        self.name = name
        self.definition = definition
        self.uid: str = definition["uid"]
        self.experiment_id = study_experiment(self.client, name, artifacts)
        self.names = MetricNames()
        self.parent_id = self._parent(study_file)
        goals = [str(goal["metric"]) for goal in definition["objectives"]]
        set_view(self.client, self.experiment_id, self.names, goals)
        self.runs: dict[int, str] = {}
        self._said: dict[int, RunState] = {}
        self._drawn: dict[int, Mapping[str, str]] = {}
        self._frontier: set[int] = set()
        self._pictured = 0
        self._progress: list[Value] = []
        self._progress_at = time.monotonic()

    def bring_up_to_date(self, history: History) -> None:
        """Make the trials' runs agree with the history, and add the study's missing progress."""
        self._pictured = len(history.records)
        self._progress.clear()
        known: dict[str, Run] = {}
        for run in trial_runs(self.client, self.experiment_id, self.parent_id):
            if known.setdefault(run.data.tags[TRIAL_TAG], run) is not run:
                self.client.delete_run(run.info.run_id)  # its trial has a run already
        desired = DesiredRuns(history, self.uid, self.names)
        for record in history.records:
            found = known.get(str(record.number))
            if found is None or not self._repaired(found, record, desired):
                self._create(record, desired)
            else:
                del known[str(record.number)]
        for run in known.values():
            # It is made again, or its trial never finished and is logged once it has.
            self.client.delete_run(run.info.run_id)
        self._frontier = desired.search_frontier
        self._log_missing_progress(history)

    def start(self, phase: Phase, history: History) -> None:
        """Mark the study's run as running, with its status."""
        self._say(phase)
        if phase == "confirming":
            # Confirmation takes a while; this is what reviewers see meanwhile.
            self._flush_progress()
            self._log_study(history)

    def log_trial(self, record: TrialRecord, history: History) -> None:
        """Log a finished trial as a child run, and its effect on the study."""
        desired = DesiredRuns(history, self.uid, self.names)
        self._create(record, desired)
        self._tell(desired.concerned(record, self._frontier), desired)
        self._note_progress(progress(record, history, self.names))
        new = len(history.records) - self._pictured
        if new >= max(_PICTURES_AFTER, _PICTURES_GROWTH * self._pictured):
            self._log_study(history)
            self._pictured = len(history.records)

    def log_training(self, trainings: Sequence[OngoingTraining]) -> None:
        """Log the last epoch of trainings to the study's run, and what they are in words."""
        now = int(time.time() * 1000)
        values = []
        for each in trainings:
            # MLflow's names take letters, digits and a few signs only.
            name = re.sub(r"[^\w./ -]+", " ", f"training/{each.stage} of {each.candidate}")
            epoch = each.epoch
            for kind, value in (
                ("loss", epoch.loss),
                ("quality", epoch.quality),
                ("seconds left", epoch.seconds_left),
            ):
                if value is not None:
                    values.append(Value(f"{name}/{kind}", value, now, epoch.number))
        text = "; ".join(each.words for each in trainings)
        self._write(self.parent_id, RunState(tags={TRAINING_TAG: text}), values)

    def log_confirmed(self, history: History) -> None:
        """Log the confirmation, and the new standing of every trial."""
        self._tell(history.records, DesiredRuns(history, self.uid, self.names))

    def finish(self, history: History, reason: str, status: Status) -> None:
        """Log tables, pictures and models, and end the study's run."""
        self._flush_progress()
        self._log_study(history)
        self.review.log_pictures(self.client, self.parent_id, history, self.name)
        desired = DesiredRuns(history, self.uid, self.names)
        for record in history.measured:
            self._draw(record, desired.artifacts(record))
        self.review.log_published(self.client, self.runs, history)
        self._say((reason, status))

    def _parent(self, study_file: Path) -> str:
        """Return the study's run; make it if it is missing, and add what it lacks."""
        wanted = study_run(self.definition)
        found = study_runs(self.client, self.experiment_id, self.uid)
        if found:
            run_id: str = found[0].info.run_id
            self.names = MetricNames.of(found[0].data.tags)
            state = RunState.of(found[0])
            changes = state.changes_to(wanted)
            missing = {n: v for n, v in changes.params.items() if n not in state.params}
            self._write(run_id, replace(changes, params=missing))
            return run_id
        tags = {**wanted.tags, NAMES_TAG: GROUPED, **git_tags(study_file.parent)}
        run = self.client.create_run(self.experiment_id, tags=tags, run_name=self.name)
        self._write(run.info.run_id, RunState(params=wanted.params))
        log_splits(self.client, run.info.run_id, self.name, self.definition)
        self.client.log_artifact(run.info.run_id, str(study_file))
        return str(run.info.run_id)

    def _create(self, record: TrialRecord, desired: DesiredRuns) -> None:
        """Log a trial as a new run."""
        wanted, new = desired.trial(record), desired.new(record)
        run = self.client.create_run(
            self.experiment_id,
            start_time=new.started_ms,
            tags={**wanted.tags, **new.tags, _PARENT_TAG: self.parent_id},
            run_name=new.name,
        )
        run_id = run.info.run_id
        written = RunState(params=wanted.params, metrics=wanted.metrics)
        self._write(run_id, written, new.curves, at_ms=new.ended_ms)
        for name, text in new.texts.items():
            self.client.log_text(run_id, text, name)
        self.client.set_terminated(run_id, wanted.status, new.ended_ms)
        self.runs[record.number], self._said[record.number] = run_id, wanted

    def _repaired(self, run: Run, record: TrialRecord, desired: DesiredRuns) -> bool:
        """Bring a trial's run up to date; ``False`` if it has to be made again.

        MLflow changes neither a param nor, in effect, the times of a run that never ended.
        """
        found, wanted = RunState.of(run), desired.trial(record)
        changes = found.changes_to(wanted)
        if changes.status or changes.params.keys() & found.params.keys():
            return False
        self._write(run.info.run_id, changes)
        self.runs[record.number], self._said[record.number] = run.info.run_id, wanted
        self._drawn[record.number] = found.artifacts
        return True

    def _tell(self, records: Iterable[TrialRecord], desired: DesiredRuns) -> None:
        """Update the runs of trials whose standing has changed."""
        self._frontier = desired.search_frontier
        for record in records:
            standing = desired.standing(record)
            self._write(self.runs[record.number], self._said[record.number].changes_to(standing))
            self._said[record.number] = standing

    def _draw(self, record: TrialRecord, wanted: Mapping[str, str]) -> None:
        """Log the pictures of a trial's run that it lacks."""
        if wanted and self._drawn.get(record.number) != wanted:
            run_id = self.runs[record.number]
            if self.review.log_histogram(self.client, run_id, record, wanted[HISTOGRAM]):
                self._drawn[record.number] = wanted

    def _write(
        self,
        run_id: str,
        changes: RunState,
        values: Sequence[Value] = (),
        at_ms: int | None = None,
    ) -> None:
        """Write changes of a run but its status, in one request if there are few enough."""
        from mlflow.entities import Metric, Param, RunTag

        at_ms = int(time.time() * 1000) if at_ms is None else at_ms
        values = [*(Value(k, v, at_ms, 0) for k, v in changes.metrics.items()), *values]
        metrics = [Metric(each.name, each.value, each.at_ms, each.step) for each in values]
        params = [Param(name, value) for name, value in changes.params.items()]
        tags = [RunTag(name, value) for name, value in changes.tags.items()]
        if metrics or params or tags:
            self.client.log_batch(run_id, metrics[:_BATCH], params, tags)
        for start in range(_BATCH, len(metrics), _BATCH):
            self.client.log_batch(run_id, metrics[start : start + _BATCH])

    def _say(self, state: Phase | tuple[str, Status]) -> None:
        """Write the state of the study's run."""
        wanted = study_run(self.definition, state)
        self._write(self.parent_id, RunState(tags=wanted.tags))
        if wanted.status == "RUNNING":
            self.client.update_run(self.parent_id, status=wanted.status)
        else:
            self.client.set_terminated(self.parent_id, wanted.status)

    def _note_progress(self, values: Sequence[Value]) -> None:
        self._progress += values
        since_s = time.monotonic() - self._progress_at
        if since_s > _PROGRESS_EVERY_S or len(self._progress) > _BATCH:
            self._flush_progress()

    def _flush_progress(self) -> None:
        self._progress_at = time.monotonic()
        # After an interruption it is logged again: MLflow keeps one of two equal entries.
        self._write(self.parent_id, RunState(), self._progress)
        self._progress.clear()

    def _log_missing_progress(self, history: History) -> None:
        """Log the study's missing metrics over trials, with their values at the time."""
        trials = self.names.within("search", "trials")
        logged = {m.step for m in self.client.get_metric_history(self.parent_id, trials)}
        if any(record.number not in logged for record in history.records):
            for values in replayed_progress(history, self.names, logged):
                self._note_progress(values)
            self._flush_progress()

    def _log_study(self, history: History) -> None:
        self.review.log_study(self.client, self.parent_id, history, self.name, self.definition)
