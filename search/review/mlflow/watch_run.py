"""The run of a watch in MLflow, below the run of the trial that is watched."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from paretune.search.review.mlflow.client import mlflow_client
from paretune.search.review.mlflow.desired_runs import ROLE_TAG, TRIAL_TAG
from paretune.search.review.mlflow.experiment import study_experiment

if TYPE_CHECKING:
    from mlflow.entities import Metric
    from mlflow.tracking import MlflowClient

WATCH_TAG = "paretune.watch"
"""The tag of the last event or state, on the watch's run and on the trial's."""

DIGEST_TAG = "paretune.digest"
"""The tag of the digest of the model's file."""


class WatchRun:
    """A run with the metrics of a watch.

    It lies in the experiment of the study's name, which is created if this server has none. If the
    trial's own run is there, this one is its child, and the state stands on both.

    Args:
        uri: MLflow's tracking URI.
        study: The study's name.
        trial: The trial's number.
        digest: The SHA-256 of the model's file.
    """

    def __init__(self, uri: str, study: str, trial: int, digest: str) -> None:
        self._client: MlflowClient = mlflow_client(uri)
        experiment = study_experiment(self._client, study, None)
        self._trial_run = self._find(experiment, trial)
        tags = {ROLE_TAG: "watch", TRIAL_TAG: str(trial), DIGEST_TAG: digest}
        if self._trial_run is not None:
            tags["mlflow.parentRunId"] = self._trial_run
        name = f"watch of trial {trial}"
        run = self._client.create_run(experiment, run_name=name, tags=tags)
        self.run_id: str = run.info.run_id
        self._said = ""

    def log(self, metrics: Mapping[str, float], step: int, state: str) -> None:
        """Log numbers.

        Args:
            metrics: The numbers by name.
            step: Requests so far.
            state: The state in words.
        """
        now = int(time.time() * 1000)
        self._client.log_batch(
            self.run_id,
            metrics=[_metric(name, value, now, step) for name, value in metrics.items()],
        )
        if state != self._said:
            self._tag(WATCH_TAG, state)
            self._said = state

    def note(self, line: str, events: str, is_alarm: bool) -> None:
        """Note an event.

        Args:
            line: The event in a line.
            events: All events so far, for the run's file.
            is_alarm: Whether somebody has to look.
        """
        self._tag(f"{WATCH_TAG}.{'alarm' if is_alarm else 'event'}", line)
        self._client.log_text(self.run_id, events, "events.txt")

    def end(self) -> None:
        """End the run."""
        self._client.set_terminated(self.run_id)

    def _tag(self, name: str, text: str) -> None:
        for run in (self.run_id, self._trial_run):
            if run is not None:
                self._client.set_tag(run, name, text[:4000])

    def _find(self, experiment: str, trial: int) -> str | None:
        """Return the id of the trial's run; ``None`` if there is none or several studies' are."""
        found = self._client.search_runs(
            [experiment],
            f"tags.`{TRIAL_TAG}` = '{trial}' and tags.`{ROLE_TAG}` = 'trial'",
            max_results=2,
        )
        return str(found[0].info.run_id) if len(found) == 1 else None


def _metric(name: str, value: float, now_ms: int, step: int) -> Metric:
    from mlflow.entities import Metric

    return Metric(f"watch_{name}", float(value), now_ms, step)
