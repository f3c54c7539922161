"""A study's MLflow experiment, found by name or created, and the runs in it."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from paretune.search.record.gains import GAINS
from paretune.search.review.mlflow.client import mlflow_client
from paretune.search.review.mlflow.desired_runs import ROLE_TAG, STUDY_TAG, TRIAL_TAG
from paretune.search.review.mlflow.metric_names import MetricNames
from paretune.search.storage.collector import collector_off

if TYPE_CHECKING:
    from mlflow.entities import Experiment, Run
    from mlflow.tracking import MlflowClient

VIEW = "paretune"
"""The key of the view that :func:`set_view` makes: ``?viewStateShareKey=paretune`` opens it."""

_WIDTH = 190
"""Pixels of a column in that view: a name of a gain fits. Chosen by judgement."""

_VIEW_TAG = f"mlflow.sharedViewState.{VIEW}"

_LOG = logging.getLogger("paretune")


def study_experiment(client: MlflowClient, name: str, artifacts: Path | None) -> str:
    """Return the id of a study's experiment; a deleted one is restored.

    MLflow stores the absolute path of the artifacts of an experiment and of each of its runs, and
    never changes it: after a move, artifacts would be written to, and searched in, the old place.
    So a moved study gets a new experiment, in which all of its runs are logged again. The old one
    is renamed and deleted in MLflow's sense: it goes to the trash, from which it can be restored.

    Args:
        client: MLflow's client.
        name: The study's name.
        artifacts: Folder for artifacts, or ``None`` for the server's own.
    """
    experiment = client.get_experiment_by_name(name)
    if experiment is not None and (gone := place_before_move(experiment, artifacts)) is not None:
        _LOG.warning(
            "the study was moved, but MLflow looks for its artifacts in %s: all runs are logged "
            "again. Registered models have to be registered again.",
            gone,
        )
        stamp = time.strftime("%Y-%m-%d %H:%M:%S")
        client.rename_experiment(experiment.experiment_id, f"{name}, moved on {stamp}")
        if experiment.lifecycle_stage != "deleted":
            client.delete_experiment(experiment.experiment_id)
        experiment = None
    if experiment is None:
        return str(
            client.create_experiment(
                name,
                artifact_location=artifacts.as_uri() if artifacts else None,
                # The UI then opens with training runs instead of its tools for language models.
                tags={"mlflow.experimentKind": "custom_model_development"},
            )
        )
    if experiment.lifecycle_stage == "deleted":
        client.restore_experiment(experiment.experiment_id)
    return str(experiment.experiment_id)


def set_view(
    client: MlflowClient, experiment_id: str, names: MetricNames, goals: Sequence[str]
) -> None:
    """Give an experiment a view whose list of runs begins with the gains, the quickest run first.

    It is the state that MLflow's UI keeps if a person shares a view (read by
    ``useSharedExperimentViewState`` of MLflow 3); other versions ignore it.

    Args:
        client: MLflow's client.
        experiment_id: The experiment.
        names: The names of its numbers.
        goals: The metrics of the objectives.
    """
    # What tables show of gains comes first.
    gained = sorted(GAINS, key=lambda gain: not gain.head)
    shown = [gain.mlflow for gain in gained] + list(goals)
    columns = [f"metrics.`{names.of_metric(name)}`" for name in shown]
    columns += [f"params.`{axis}`" for axis in ("quantization", "batch_size")]
    columns += ["tags.`published`"]
    state = {
        "orderByKey": columns[0],
        "orderByAsc": False,
        "selectedColumns": columns,
        "columnOrder": columns,
        "columnWidths": dict.fromkeys(columns, _WIDTH),
    }
    text = json.dumps(state)
    if client.get_experiment(experiment_id).tags.get(_VIEW_TAG) != text:
        client.set_experiment_tag(experiment_id, _VIEW_TAG, text)


def view_address(uri: str, name: str) -> str:
    """Return where MLflow's UI shows a study in that view, after the server's address.

    Empty if the study is not there yet.
    """
    experiment = mlflow_client(uri).get_experiment_by_name(name)
    if experiment is None or _VIEW_TAG not in experiment.tags:
        return ""
    return f"/#/experiments/{experiment.experiment_id}/runs?viewStateShareKey={VIEW}"


def place_before_move(experiment: Experiment, artifacts: Path | None) -> Path | None:
    """Return where an experiment's artifacts were before its study was moved, if it was.

    Studies of one name may share an experiment, and so a folder for artifacts, which may belong to
    another study. So a study counts as moved only if the experiment's folder is gone.
    """
    location = urlsplit(experiment.artifact_location)
    if artifacts is None or location.scheme != "file" or not location.path:
        return None
    place = Path(unquote(location.path))
    return None if place == artifacts or place.exists() else place


def study_runs(client: MlflowClient, experiment_id: str, uid: str) -> list[Run]:
    """Return the runs of a study: one, unless somebody deleted or copied it."""
    return list(
        client.search_runs(
            [experiment_id], f"tags.`{STUDY_TAG}` = '{uid}' and tags.`{ROLE_TAG}` = 'study'"
        )
    )


def trial_runs(client: MlflowClient, experiment_id: str, parent_id: str) -> list[Run]:
    """Return the runs of trials below a study's run, page by page.

    A person's own runs there are not ours: they lack the tags of a trial.
    """
    runs: list[Run] = []
    token = None
    while True:
        with collector_off():
            page = client.search_runs(
                [experiment_id],
                f"tags.`mlflow.parentRunId` = '{parent_id}' and tags.`{ROLE_TAG}` = 'trial'",
                page_token=token,
            )
        runs.extend(run for run in page if TRIAL_TAG in run.data.tags)
        token = page.token
        if not token:
            return runs
