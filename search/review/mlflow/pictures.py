"""Pictures, tables and models for reviewers in MLflow."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paretune.runners.store.artifact_store import ArtifactStore
from paretune.search.record.history import History
from paretune.search.record.trial import TrialRecord
from paretune.search.review.frontier_rows import flat_values, frontier_rows
from paretune.search.review.histogram import write_histogram
from paretune.search.review.importance import importance_figure
from paretune.search.review.mlflow.desired_runs import NOTE_TAG
from paretune.search.review.mlflow.figures import parallel_figure, time_figure
from paretune.search.review.mlflow.run_state import HISTOGRAM, HISTOGRAM_TAG
from paretune.search.review.plot import pareto_figure, write_html
from paretune.search.review.study_markdown import study_markdown

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient
    from plotly.graph_objects import Figure


_PICTURES: Mapping[str, Callable[[History, str], Figure | None]] = {
    "importance.html": importance_figure,
    "parallel.html": parallel_figure,
    "time.html": time_figure,
}
"""What is drawn once, at the end of a search, by the name of its file."""


class MlflowReview:
    """Shows the current state of a study.

    Args:
        store: The store with the raw samples.
        log_models: Logs the files of trials, by run, as models of the runs.
    """

    def __init__(
        self,
        store: ArtifactStore,
        log_models: Callable[[MlflowClient, Mapping[str, TrialRecord]], object],
    ) -> None:
        self.store = store
        self.log_models = log_models

    def log_study(
        self,
        client: MlflowClient,
        run_id: str,
        history: History,
        name: str,
        definition: Mapping[str, Any],
    ) -> None:
        """Log a study's description, table and interactive pictures to its run."""
        from mlflow.entities import RunTag

        if not history.measured:
            return
        _log_figure(client, run_id, pareto_figure(history, name), "pareto.html")
        rows = [flat_values(row, history) for row in frontier_rows(history)]
        data = {"columns": list(rows[0]) if rows else [], "data": [[*row.values()] for row in rows]}
        client.log_dict(run_id, data, "frontier.json")
        tags = {
            "mlflow.loggedArtifacts": json.dumps([{"path": "frontier.json", "type": "table"}]),
            NOTE_TAG: study_markdown(name, history, definition),
        }
        client.log_batch(run_id, tags=[RunTag(key, value) for key, value in tags.items()])

    def log_pictures(self, client: MlflowClient, run_id: str, history: History, name: str) -> None:
        """Log what each axis is worth, which values lead where, and the time spent, if known."""
        for file, draw in _PICTURES.items():
            figure = draw(history, name)
            if figure is not None:
                _log_figure(client, run_id, figure, file)

    def log_published(
        self, client: MlflowClient, runs: Mapping[int, str], history: History
    ) -> None:
        """Log the models of published points, with their fresh values.

        Args:
            client: MLflow.
            runs: The trials' runs, by number.
            history: The study.
        """
        measured = {record.number: record for record in history.measured}
        published = {
            runs[point.number]: replace(measured[point.number], outcome=point.measurement)
            for point in history.published
        }
        self.log_models(client, published)

    def log_histogram(
        self, client: MlflowClient, run_id: str, record: TrialRecord, samples: str
    ) -> bool:
        """Log the latency histogram of a trial; ``False`` if its calls left the store.

        Args:
            client: MLflow.
            run_id: The trial's run.
            record: The trial.
            samples: Digest of the timed calls.
        """
        file = self.store.get(samples)
        if file is None:
            return False
        with tempfile.TemporaryDirectory() as folder:
            picture = Path(folder) / HISTOGRAM
            write_histogram(file, record.candidate.label, picture)
            client.log_artifact(run_id, str(picture))
        client.set_tag(run_id, HISTOGRAM_TAG, samples)
        return True


def _log_figure(client: MlflowClient, run_id: str, figure: Figure, name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        write_html(figure, path)
        client.log_artifact(run_id, str(path))
