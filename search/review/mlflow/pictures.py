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
from paretune.search.review.frontier_rows import frontier_rows, row_values
from paretune.search.review.histogram import write_histogram
from paretune.search.review.importance import importance_figure
from paretune.search.review.plot import pareto_figure, write_html
from paretune.search.review.study_markdown import study_markdown

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient
    from plotly.graph_objects import Figure

_HISTOGRAM_OF = "paretune.histogram_of"


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
        if not history.measured:
            return
        _log_figure(client, run_id, pareto_figure(history, name), "pareto.html")
        rows = [row_values(row, history) for row in frontier_rows(history)]
        rows = [row | {"ties": " ".join(map(str, row["ties"]))} for row in rows]
        data = {"columns": list(rows[0]) if rows else [], "data": [[*row.values()] for row in rows]}
        client.log_dict(run_id, data, "frontier.json")
        tables = json.dumps([{"path": "frontier.json", "type": "table"}])
        client.set_tag(run_id, "mlflow.loggedArtifacts", tables)
        note = study_markdown(name, history, definition)
        client.set_tag(run_id, "mlflow.note.content", note)

    def log_importance(
        self, client: MlflowClient, run_id: str, history: History, name: str
    ) -> None:
        """Log which axes decide the objectives, once there are enough trials."""
        figure = importance_figure(history, name)
        if figure is not None:
            _log_figure(client, run_id, figure, "importance.html")

    def log_points(self, client: MlflowClient, runs: Mapping[int, str], history: History) -> None:
        """Log latency histograms of frontier and published points, and models of the latter.

        Args:
            client: MLflow.
            runs: The trials' runs, by number.
            history: The study.
        """
        measured = {record.number: record for record in history.measured}
        published = {
            point.number: replace(measured[point.number], outcome=point.measurement)
            for point in history.published
        }
        frontier = {record.number: record for record in history.frontier}
        for number, record in (frontier | published).items():
            self._log_histogram(client, runs[number], record)
        self.log_models(client, {runs[number]: record for number, record in published.items()})

    def _log_histogram(self, client: MlflowClient, run_id: str, record: TrialRecord) -> None:
        digest = record.measurement.samples if record.measurement else ""
        if client.get_run(run_id).data.tags.get(_HISTOGRAM_OF) == digest:
            return
        samples = self.store.get(digest)
        if samples is None:
            return
        with tempfile.TemporaryDirectory() as folder:
            picture = Path(folder) / "latency.png"
            write_histogram(samples, record.candidate.label, picture)
            client.log_artifact(run_id, str(picture))
        client.set_tag(run_id, _HISTOGRAM_OF, digest)


def _log_figure(client: MlflowClient, run_id: str, figure: Figure, name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        write_html(figure, path)
        client.log_artifact(run_id, str(path))
