"""The audit: how MLflow differs from what it should hold of a study."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from paretune.search.record.history import History
from paretune.search.record.tracking import Status
from paretune.search.review.mlflow.client import mlflow_client
from paretune.search.review.mlflow.desired_runs import TRIAL_TAG, DesiredRuns, study_run
from paretune.search.review.mlflow.experiment import place_before_move, study_runs, trial_runs
from paretune.search.review.mlflow.metric_names import MetricNames
from paretune.search.review.mlflow.run_state import RunState


def disagreements(
    uri: str,
    name: str,
    definition: Mapping[str, Any],
    history: History,
    ended: tuple[str, Status] | None,
    artifacts: Path | None = None,
) -> list[str]:
    """Return where MLflow disagrees with what it should hold, in words; change nothing.

    Args:
        uri: MLflow tracking URI.
        name: The study's name.
        definition: The study's definition.
        history: The storage's trials.
        ended: Why and how the study ended; ``None`` if it is running or was killed. Pictures are
            drawn at the end.
        artifacts: The expected folder for artifacts, or ``None`` for the server's own.
    """
    client, uid = mlflow_client(uri), str(definition["uid"])
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        return [f"there is no experiment {name!r}"]
    if (gone := place_before_move(experiment, artifacts)) is not None:
        return [
            f"the study was moved: MLflow looks for its artifacts in {gone}, which no longer exists"
        ]
    parents = study_runs(client, experiment.experiment_id, uid)
    if len(parents) != 1:
        return [f"there are {len(parents)} runs of the study instead of one"]
    runs = trial_runs(client, experiment.experiment_id, parents[0].info.run_id)
    found = []
    if ended is not None:
        state = RunState.of(parents[0])
        wanted = replace(study_run(definition, ended), params=state.params)
        found = [f"the study's run: {what}" for what in state.differences(wanted)]
    counts = Counter(run.data.tags[TRIAL_TAG] for run in runs)
    found += [f"{count} runs of trial {number}" for number, count in counts.items() if count > 1]
    by_number = {run.data.tags[TRIAL_TAG]: RunState.of(run) for run in runs}
    desired = DesiredRuns(history, uid, MetricNames.of(parents[0].data.tags))
    for record in history.records:
        had = by_number.pop(str(record.number), None)
        if had is None:
            found.append(f"trial {record.number} has no run")
            continue
        wanted = desired.trial(record)
        wanted = wanted if ended is not None else replace(wanted, artifacts=had.artifacts)
        found += [f"trial {record.number}: {what}" for what in had.differences(wanted)]
    return found + [
        f"there is a run of trial {number}, which is not finished" for number in by_number
    ]
