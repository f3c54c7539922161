"""MLflow, where runs are reviewed.

One experiment and one parent run per study, one child run per trial.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paretune.search.record.history import History
from paretune.search.record.tracking import ENDINGS, Phase, Status
from paretune.search.record.trial import TrialRecord
from paretune.search.record.words import trial_markdown, trial_numbers, trial_params
from paretune.search.review.mlflow.client import (
    STATUS_TAG,
    STUDY_TAG,
    TRIAL_TAG,
    mlflow_client,
    trial_runs,
)
from paretune.search.review.mlflow.experiment import study_experiment
from paretune.search.review.mlflow.pictures import MlflowReview
from paretune.search.review.mlflow.standing import Standing, Standings
from paretune.search.review.mlflow.tags import TAG_CHARACTERS, trial_tags

if TYPE_CHECKING:
    from mlflow.entities import Metric

_PICTURES_AFTER = 10
_PICTURES_GROWTH = 0.1
_ENDED = "paretune.ended"
_PROGRESS_EVERY_S = 5.0
_BATCH = 900  # MLflow takes a thousand metrics per call


class MlflowTracking:
    """One study in MLflow.

    Args:
        uri: MLflow tracking URI.
        name: The study's name, also that of the experiment.
        definition: The study's definition; its ``uid`` distinguishes studies of one name in
            different storages.
        artifacts: Folder for artifacts, or ``None`` for the server's own.
        study_file: Logged to the parent run.
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
        self.study_file = study_file
        self.experiment_id = study_experiment(self.client, name, artifacts)
        self.parent_id = self._parent()
        self.runs: dict[int, str] = {}
        self._frontier: set[int] = set()
        self._said: dict[int, Standing] = {}
        self._pictured = 0
        self._progress: list[Metric] = []
        self._progress_at = time.monotonic()

    def bring_up_to_date(self, history: History) -> None:
        """Make the trials' runs agree with the history."""
        self._pictured = len(history.records)
        self._progress.clear()
        known = {
            run.data.tags[TRIAL_TAG]: run
            for run in trial_runs(self.client, self.experiment_id, self.parent_id)
        }
        standings = Standings(history)
        for record in history.records:
            run = known.pop(str(record.number), None)
            if run is not None and run.info.status in ("FINISHED", "FAILED"):
                self.runs[record.number] = run.info.run_id
                self._said[record.number] = Standing.said(run.data.tags, run.data.metrics)
            else:
                if run is not None:
                    self.client.delete_run(run.info.run_id)
                self._create(record, standings)
        for run in known.values():
            # Its trial never finished; it is logged again once it has.
            self.client.delete_run(run.info.run_id)
        self._tell(history.records, standings)
        self._log_missing_progress(history)

    def start(self, phase: Phase, history: History) -> None:
        """Mark the study's run as running, with its status."""
        self.client.update_run(self.parent_id, status="RUNNING")
        self.client.set_tag(self.parent_id, STATUS_TAG, phase)
        self.client.set_tag(self.parent_id, _ENDED, "")
        if phase == "confirming":
            # Confirmation takes a while; this is what reviewers see meanwhile.
            self._flush_progress()
            self._log_study(history)

    def log_trial(self, record: TrialRecord, history: History) -> None:
        """Log a finished trial as a child run, and its effect on the study."""
        standings = Standings(history)
        self._create(record, standings)
        self._tell(self._concerned(record, standings), standings)
        self._log_progress(record, history)
        # A picture costs more with more trials, so pictures become rarer.
        new = len(history.records) - self._pictured
        if new >= max(_PICTURES_AFTER, _PICTURES_GROWTH * self._pictured):
            self._log_study(history)
            self._pictured = len(history.records)

    def log_confirmed(self, history: History) -> None:
        """Log the confirmation, and the new standing of every trial."""
        self._tell(history.records, Standings(history))

    def finish(self, history: History, reason: str, status: Status) -> None:
        """Log tables and pictures, and end the parent run."""
        self._flush_progress()
        self._log_review(history)
        self.client.set_tag(self.parent_id, _ENDED, reason[:TAG_CHARACTERS])
        self.client.set_tag(self.parent_id, STATUS_TAG, ENDINGS[status])
        self.client.set_terminated(self.parent_id, status)

    def _parent(self) -> str:
        found = self.client.search_runs(
            [self.experiment_id],
            f"tags.`{STUDY_TAG}` = '{self.uid}' and tags.`paretune.role` = 'study'",
        )
        if found:
            run_id: str = found[0].info.run_id
            return run_id
        tags = {
            STUDY_TAG: self.uid,
            "paretune.role": "study",
            "mlflow.source.name": "paretune search",
        }
        run = self.client.create_run(self.experiment_id, tags=tags, run_name=self.name)
        for axis, values in self.definition["space"].items():
            self.client.log_param(run.info.run_id, f"space.{axis}", ", ".join(map(str, values)))
        goals = [f"{goal['direction']} {goal['metric']}" for goal in self.definition["objectives"]]
        self.client.log_param(run.info.run_id, "objectives", ", ".join(goals))
        self.client.log_artifact(run.info.run_id, str(self.study_file))
        return str(run.info.run_id)

    def _create(self, record: TrialRecord, standings: Standings) -> None:
        from mlflow.entities import Metric, Param

        history, standing = standings.history, standings.of(record)
        at, tags = int(record.finished_at * 1000), self._tags(record, history)
        run = self.client.create_run(
            self.experiment_id,
            start_time=int(record.started_at * 1000),
            tags={**tags, **standing.tags},
            run_name=f"{record.number:04d} {record.candidate.label}",
        )
        run_id = run.info.run_id
        self.client.log_batch(
            run_id,
            metrics=[
                *(Metric(k, v, at, 0) for k, v in trial_numbers(record, history).items()),
                *(Metric(k, v, at, 0) for k, v in standing.numbers.items()),
                *(
                    Metric(f"train_loss_{stage.replace('-', '_')}", loss, at, epoch)
                    for stage, losses in record.train_losses.items()
                    for epoch, loss in enumerate(losses, start=1)
                ),
            ],
            params=[Param(name, str(value)) for name, value in trial_params(record).items()],
        )
        if record.failure and record.failure.log:
            self.client.log_text(run_id, record.failure.log, "failure.log")
        self.client.set_terminated(run_id, "FAILED" if record.failure else "FINISHED", at)
        self.runs[record.number] = run_id
        self._said[record.number] = standing

    def _tags(self, record: TrialRecord, history: History) -> dict[str, str]:
        return trial_tags(record, history) | {
            "mlflow.parentRunId": self.parent_id,
            "mlflow.source.name": "paretune search",
            "mlflow.note.content": trial_markdown(record, history),
            STUDY_TAG: self.uid,
            "paretune.role": "trial",
            TRIAL_TAG: str(record.number),
        }

    def _concerned(self, record: TrialRecord, standings: Standings) -> list[TrialRecord]:
        """Return the trials whose standing a new one may have changed.

        These are the trials that joined or left the frontier, those with the same run settings (the
        new one may be their parent), and all trials if it is the baseline.
        """
        moved = standings.search_frontier ^ self._frontier
        return [
            each
            for each in standings.history.records
            if record.number == 0
            or each.number in moved
            or (each.measurement and each.candidate.run == record.candidate.run)
        ]

    def _tell(self, records: Iterable[TrialRecord], standings: Standings) -> None:
        """Update the runs of trials whose standing has changed."""
        from mlflow.entities import Metric, RunTag

        self._frontier = standings.search_frontier
        at = int(time.time() * 1000)
        for record in records:
            standing = standings.of(record)
            change = self._said[record.number].changed_to(standing)
            if change.tags or change.numbers:
                self.client.log_batch(
                    self.runs[record.number],
                    metrics=[Metric(name, value, at, 0) for name, value in change.numbers.items()],
                    tags=[RunTag(name, value) for name, value in change.tags.items()],
                )
                self._said[record.number] = standing

    def _log_progress(self, record: TrialRecord, history: History) -> None:
        from mlflow.entities import Metric

        progress = {
            "trials": float(len(history.records)),
            "failed_trials": float(len(history.failed)),
            "skipped_trials": float(len(history.skipped)),
            "frontier_size": float(len(history.frontier)),
        }
        if history.hypervolume is not None:
            progress["hypervolume"] = history.hypervolume
        at = int(record.finished_at * 1000)
        self._progress += [
            Metric(name, value, at, record.number) for name, value in progress.items()
        ]
        # In a sweep, trials take a second each: nobody looks that often.
        since_s = time.monotonic() - self._progress_at
        if since_s > _PROGRESS_EVERY_S or len(self._progress) > _BATCH:
            self._flush_progress()

    def _flush_progress(self) -> None:
        self._progress_at = time.monotonic()
        if self._progress:
            self.client.log_batch(self.parent_id, metrics=self._progress)
            # After an interruption it is logged again: MLflow keeps one of two equal entries.
            self._progress.clear()

    def _log_missing_progress(self, history: History) -> None:
        """Log the parent's missing metrics over trials, with their values at the time."""
        logged = {m.step for m in self.client.get_metric_history(self.parent_id, "trials")}
        if all(record.number in logged for record in history.records):
            return
        replayed = History(
            history.objectives,
            history.constraints,
            history.quality_metric,
            interest=history.interest,
        )
        for record in sorted(history.records, key=lambda record: record.finished_at):
            replayed.add(record)
            if record.number not in logged:
                self._log_progress(record, replayed)
        self._flush_progress()

    def _log_review(self, history: History) -> None:
        """Log what is worth its time only after a search or a confirmation."""
        self._log_study(history)
        self.review.log_importance(self.client, self.parent_id, history, self.name)
        self.review.log_points(self.client, self.runs, history)

    def _log_study(self, history: History) -> None:
        self.review.log_study(self.client, self.parent_id, history, self.name, self.definition)
