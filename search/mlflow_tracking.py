"""MLflow: the room where runs are reviewed. The only file that imports mlflow.

One experiment and one parent run a study, one child run a trial.
"""

from __future__ import annotations

import json
import logging
import os
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runners.telemetry import switch_off_telemetry
from search.bulk import collector_off
from search.config import StudyConfig, StudyPaths
from search.history import History
from search.summary import (
    study_markdown,
    trial_markdown,
    trial_numbers,
    trial_params,
    trial_table,
)
from search.tracking import GuardedTracking, NoTracking, Status, Tracking
from search.trial import TrialRecord
from spaces import StudyError

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

_SQLITE = "sqlite:///"
_PICTURES_AFTER = 10
_PICTURES_GROWTH = 0.1
_TRIAL = "paretune.trial"
_STUDY = "paretune.study_uid"
_CONFIRMED = "paretune.confirmed_by"
_TAG_CHARACTERS = 4000


def open_tracking(
    config: StudyConfig, paths: StudyPaths, definition: Mapping[str, Any], history: History
) -> Tracking:
    """Return the study's tracking, brought up to date with its history."""
    if not config.tracking:
        return NoTracking()
    local = paths.tracking_uri.startswith("sqlite:")
    try:
        tracking = MlflowTracking(
            paths.tracking_uri,
            name=config.name,
            definition=definition,
            artifacts=paths.artifacts if local else None,
            study_file=paths.study_file,
        )
        tracking.bring_up_to_date(history)
    except Exception as error:
        raise StudyError(
            f"MLflow at {paths.tracking_uri} cannot be used: {type(error).__name__}: {error}; mend "
            f"`tracking_uri`, start the server, or set `tracking: false` to search without it"
        ) from error
    return GuardedTracking(tracking)


class MlflowTracking:
    """One study in MLflow.

    Args:
        uri: MLflow tracking URI.
        name: The study's name: the experiment's name, too.
        definition: What the study was created with; its ``uid`` tells apart studies of one name in
            different storages.
        artifacts: Folder for artifacts, or ``None`` for the server's own place.
        study_file: Kept with the parent run.
    """

    def __init__(
        self,
        uri: str,
        *,
        name: str,
        definition: Mapping[str, Any],
        artifacts: Path | None,
        study_file: Path,
    ) -> None:
        self.client = _client(uri)
        self.name = name
        self.definition = definition
        self.uid: str = definition["uid"]
        self.study_file = study_file
        experiment = self.client.get_experiment_by_name(name)
        if experiment is None:
            location = artifacts.as_uri() if artifacts else None
            self.experiment_id = self.client.create_experiment(
                name,
                artifact_location=location,
                # The UI then opens on training runs and not on its tools for language models.
                tags={"mlflow.experimentKind": "custom_model_development"},
            )
        else:
            self.experiment_id = experiment.experiment_id
            if experiment.lifecycle_stage == "deleted":
                self.client.restore_experiment(self.experiment_id)
        self.parent_id = self._parent()
        self._frontier: set[int] = set()
        self._runs: dict[int, str] = {}
        self._confirmed: set[int] = set()
        self._pictured = 0

    def bring_up_to_date(self, history: History) -> None:
        """Make the child runs those of the history, and their frontier tags true."""
        self._pictured = len(history.records)
        known = {run.data.tags[_TRIAL]: run for run in self._children()}
        for record in history.records:
            run = known.pop(str(record.number), None)
            if run is not None and run.info.status in ("FINISHED", "FAILED"):
                self._runs[record.number] = run.info.run_id
                if run.data.tags.get("frontier") == "true":
                    self._frontier.add(record.number)
                if run.data.tags.get("published") == "true":
                    self._confirmed.add(record.number)
            else:
                if run is not None:
                    self.client.delete_run(run.info.run_id)
                self._create(record, history)
        for run in known.values():
            # Its trial never finished; it is logged again when it has.
            self.client.delete_run(run.info.run_id)
        self._mark_frontier(history)
        self.log_confirmed(history)

    def log_trial(self, record: TrialRecord, history: History) -> None:
        """Log a finished trial as a child run, and what it changed about the study."""
        self._create(record, history)
        self._mark_frontier(history)
        self._log_progress(record, history)
        # A picture costs more the more trials it shows: so they come ever more rarely.
        new = len(history.records) - self._pictured
        if new >= max(_PICTURES_AFTER, _PICTURES_GROWTH * self._pictured):
            self._log_pictures(history)
            self._pictured = len(history.records)

    def log_confirmed(self, history: History) -> None:
        """Log fresh values as ``confirmed_…`` metrics; tag the published with their probability."""
        from mlflow.entities import Metric, RunTag

        for point in history.confirmed:
            run_id = self._runs[point.number]
            known = self.client.get_run(run_id).data.tags.get(_CONFIRMED)
            if known == point.measurement.samples:
                continue
            metrics = {f"confirmed_{name}": value for name, value in point.metrics.items()}
            metrics["probability_non_dominated"] = point.probability
            at = int(time.time() * 1000)
            tags = {"published": _truth(point.is_published), _CONFIRMED: point.measurement.samples}
            if point.same_as is not None:
                tags["same_as"] = str(point.same_as)
            self.client.log_batch(
                run_id,
                metrics=[Metric(name, value, at, 0) for name, value in metrics.items()],
                tags=[RunTag(name, value) for name, value in tags.items()],
            )
        for number in self._confirmed - {point.number for point in history.confirmed}:
            self.client.set_tag(self._runs[number], "published", "false")
        self._confirmed = {point.number for point in history.confirmed}

    def finish(self, history: History, reason: str, status: Status) -> None:
        """Log tables and pictures, and end the parent run."""
        self._log_pictures(history)
        self.client.set_tag(self.parent_id, "paretune.ended", reason[:_TAG_CHARACTERS])
        self.client.set_terminated(self.parent_id, status)

    def _parent(self) -> str:
        found = self.client.search_runs(
            [self.experiment_id],
            f"tags.`{_STUDY}` = '{self.uid}' and tags.`paretune.role` = 'study'",
        )
        if found:
            run_id: str = found[0].info.run_id
            self.client.update_run(run_id, status="RUNNING")
            return run_id
        tags = {_STUDY: self.uid, "paretune.role": "study", "mlflow.source.name": "paretune search"}
        run = self.client.create_run(self.experiment_id, tags=tags, run_name=self.name)
        for axis, values in self.definition["space"].items():
            self.client.log_param(run.info.run_id, f"space.{axis}", ", ".join(map(str, values)))
        goals = [f"{goal['direction']} {goal['metric']}" for goal in self.definition["objectives"]]
        self.client.log_param(run.info.run_id, "objectives", ", ".join(goals))
        self.client.log_artifact(run.info.run_id, str(self.study_file))
        return str(run.info.run_id)

    def _children(self) -> list[Run]:
        runs: list[Run] = []
        token = None
        while True:
            with collector_off():
                page = self.client.search_runs(
                    [self.experiment_id],
                    f"tags.`mlflow.parentRunId` = '{self.parent_id}'",
                    page_token=token,
                )
            runs.extend(page)
            token = page.token
            if not token:
                return runs

    def _create(self, record: TrialRecord, history: History) -> None:
        from mlflow.entities import Metric, Param

        at = int(record.finished_at * 1000)
        run = self.client.create_run(
            self.experiment_id,
            start_time=int(record.started_at * 1000),
            tags=self._tags(record, history),
            run_name=f"{record.number:04d} {record.candidate.label}",
        )
        run_id = run.info.run_id
        self.client.log_batch(
            run_id,
            metrics=[Metric(k, v, at, 0) for k, v in trial_numbers(record, history).items()],
            params=[Param(name, str(value)) for name, value in trial_params(record).items()],
        )
        self.client.set_terminated(run_id, "FAILED" if record.failure else "FINISHED", at)
        self._runs[record.number] = run_id
        if record in history.frontier:
            self._frontier.add(record.number)

    def _tags(self, record: TrialRecord, history: History) -> dict[str, str]:
        tags = {
            "mlflow.parentRunId": self.parent_id,
            "mlflow.source.name": "paretune search",
            "mlflow.note.content": trial_markdown(record, history),
            _STUDY: self.uid,
            "paretune.role": "trial",
            _TRIAL: str(record.number),
            "candidate": record.candidate.digest,
            "baseline": _truth(record.number == 0),
            "frontier": _truth(record in history.frontier),
            "outcome": "measured" if record.measurement else "skipped" if record.skip else "failed",
        }
        if record.measurement:
            tags["artifact"] = record.measurement.artifact
            tags["feasible"] = _truth(history.is_feasible(record))
            tags["samples"] = record.measurement.samples
            environment = record.measurement.environment
            tags |= {f"environment.{name}": value for name, value in environment.items()}
        if record.failure:
            tags["failure.stage"] = record.failure.stage
            tags["failure.kind"] = record.failure.kind.value
            tags["failure.reason"] = record.failure.message[:_TAG_CHARACTERS]
        return tags

    def _mark_frontier(self, history: History) -> None:
        now = {record.number for record in history.frontier}
        for number in now ^ self._frontier:
            self.client.set_tag(self._runs[number], "frontier", _truth(number in now))
        self._frontier = now

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
        at = int(time.time() * 1000)
        metrics = [Metric(name, value, at, record.number) for name, value in progress.items()]
        self.client.log_batch(self.parent_id, metrics=metrics)

    def _log_pictures(self, history: History) -> None:
        if not history.measured:
            return
        from search.plot import pareto_figure, write_html

        with tempfile.TemporaryDirectory() as folder:
            plot = Path(folder) / "pareto.html"
            write_html(pareto_figure(history, self.name), plot)
            self.client.log_artifact(self.parent_id, str(plot))
        columns, rows = trial_table(history.frontier, history)
        self.client.log_dict(self.parent_id, {"columns": columns, "data": rows}, "frontier.json")
        tables = json.dumps([{"path": "frontier.json", "type": "table"}])
        self.client.set_tag(self.parent_id, "mlflow.loggedArtifacts", tables)
        self.client.set_tag(
            self.parent_id, "mlflow.note.content", study_markdown(self.name, history)
        )


def _client(uri: str) -> MlflowClient:
    switch_off_telemetry()
    # A server that does not answer holds a study up for seconds, not for MLflow's four minutes.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    from mlflow.tracking import MlflowClient

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    if uri.startswith(_SQLITE):
        _make_database(Path(uri.removeprefix(_SQLITE)))
    return MlflowClient(tracking_uri=uri)


def _make_database(path: Path) -> None:
    """Make MLflow's SQLite database aside, then rename it.

    Its tables come in many steps that SQLite does not undo: a process killed among them would leave
    a database that MLflow never opens again.
    """
    if path.exists():
        return
    from mlflow.tracking import MlflowClient

    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        aside = Path(folder) / path.name
        MlflowClient(tracking_uri=f"{_SQLITE}{aside}").search_experiments()
        aside.replace(path)


def _truth(value: bool) -> str:
    return "true" if value else "false"
