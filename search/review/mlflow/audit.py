"""The audit: does MLflow agree with a study's storage?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from paretune.search.record.history import History
from paretune.search.record.tracking import ENDINGS, Status
from paretune.search.record.trial import TrialRecord
from paretune.search.record.words import trial_numbers, trial_params
from paretune.search.review.mlflow.client import (
    STATUS_TAG,
    STUDY_TAG,
    TRIAL_TAG,
    mlflow_client,
    trial_runs,
)
from paretune.search.review.mlflow.experiment import place_before_move
from paretune.search.review.mlflow.standing import Standing, Standings
from paretune.search.review.mlflow.tags import trial_tags
from paretune.spaces import OPTIONAL_AXES

if TYPE_CHECKING:
    from mlflow.entities import Run

_AUDITED = ("candidate", "artifact")
"""Tags that must agree, in addition to those of a trial's standing."""


def disagreements(
    uri: str,
    name: str,
    uid: str,
    history: History,
    ended: Status | None,
    artifacts: Path | None = None,
) -> list[str]:
    """Return where MLflow disagrees with the storage, in words; change nothing.

    Args:
        uri: MLflow tracking URI.
        name: The study's name.
        uid: Distinguishes the study from others of the same name.
        history: The storage's trials.
        ended: How the study ended; ``None`` if it is running or was killed.
        artifacts: The expected folder for artifacts, or ``None`` for the server's own.
    """
    client = mlflow_client(uri)
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        return [f"there is no experiment {name!r}"]
    if (gone := place_before_move(experiment, artifacts)) is not None:
        return [
            f"the study was moved: MLflow looks for its artifacts in {gone}, which no longer exists"
        ]
    parents = client.search_runs(
        [experiment.experiment_id],
        f"tags.`{STUDY_TAG}` = '{uid}' and tags.`paretune.role` = 'study'",
    )
    if len(parents) != 1:
        return [f"there are {len(parents)} runs of the study instead of one"]
    runs = trial_runs(client, experiment.experiment_id, parents[0].info.run_id)
    counts = Counter(run.data.tags.get(TRIAL_TAG, "") for run in runs)
    found = list(_parent_differences(parents[0], ended)) if ended else []
    found += [f"{count} runs of trial {number}" for number, count in counts.items() if count > 1]
    by_number = {run.data.tags.get(TRIAL_TAG, ""): run for run in runs}
    standings = Standings(history)
    for record in history.records:
        run = by_number.pop(str(record.number), None)
        if run is None:
            found.append(f"trial {record.number} has no run")
        else:
            found.extend(
                f"trial {record.number}: {what}" for what in _differences(run, record, standings)
            )
    return found + [
        f"there is a run of trial {number}, which is not finished" for number in by_number
    ]


def _parent_differences(run: Run, ended: Status) -> Iterator[str]:
    if run.info.status != ended:
        yield f"the study's run is {run.info.status} instead of {ended}"
    if (said := run.data.tags.get(STATUS_TAG)) != ENDINGS[ended]:
        yield f"tag {STATUS_TAG} of the study's run is {said!r} instead of {ENDINGS[ended]!r}"


def _differences(run: Run, record: TrialRecord, standings: Standings) -> Iterator[str]:
    status = "FAILED" if record.failure else "FINISHED"
    if run.info.status != status:
        yield f"is {run.info.status} instead of {status}"
    tags = trial_tags(record, standings.history)
    for tag in _AUDITED:
        if run.data.tags.get(tag) != tags.get(tag):
            yield f"tag {tag} is {run.data.tags.get(tag)!r} instead of {tags.get(tag)!r}"
    said, standing = Standing.said(run.data.tags, run.data.metrics), standings.of(record)
    change = said.changed_to(standing)
    for tag in change.tags:
        yield f"tag {tag} is {said.tags.get(tag)!r} instead of {standing.tags.get(tag)!r}"
    for name in change.numbers:
        wanted = standing.numbers.get(name)
        yield f"metric {name} is {said.numbers.get(name)} instead of {wanted}"
    params = {name: str(value) for name, value in trial_params(record).items()}
    # A run from before this axis existed does not name it.
    first = {name: str(value) for name, [value] in OPTIONAL_AXES.items()}
    if params != {**first, **run.data.params}:
        yield f"params are {run.data.params} instead of {params}"
    for metric, number in trial_numbers(record, standings.history).items():
        if run.data.metrics.get(metric) != number:
            yield f"metric {metric} is {run.data.metrics.get(metric)} instead of {number}"
