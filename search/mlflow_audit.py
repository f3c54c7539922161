"""The audit: does MLflow say the same as a study's storage?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from search.history import History
from search.mlflow_client import STUDY_TAG, TRIAL_TAG, child_runs, mlflow_client
from search.mlflow_experiment import place_before_move
from search.summary import trial_numbers, trial_params
from search.trial import TrialRecord
from search.trial_tags import trial_tags, truth
from spaces import OPTIONAL_AXES

if TYPE_CHECKING:
    from mlflow.entities import Run

_AUDITED = ("candidate", "frontier", "artifact", "shortfall")
"""Tags that must be the same: none where the storage gives none."""


def disagreements(
    uri: str, name: str, uid: str, history: History, artifacts: Path | None = None
) -> list[str]:
    """Return what MLflow says otherwise than the storage, in words; nothing is changed.

    Args:
        uri: MLflow tracking URI.
        name: The study's name.
        uid: What tells the study from others of its name.
        history: What the storage holds.
        artifacts: Where the study's artifacts should be, or ``None`` for the server's own place.
    """
    client = mlflow_client(uri)
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        return [f"there is no experiment {name!r}"]
    if (gone := place_before_move(experiment, artifacts)) is not None:
        return [f"the study was moved: MLflow looks for its artifacts in {gone}, which is gone"]
    parents = client.search_runs(
        [experiment.experiment_id],
        f"tags.`{STUDY_TAG}` = '{uid}' and tags.`paretune.role` = 'study'",
    )
    if len(parents) != 1:
        return [f"there are {len(parents)} runs of the study instead of one"]
    runs = child_runs(client, experiment.experiment_id, parents[0].info.run_id)
    counts = Counter(run.data.tags.get(TRIAL_TAG, "") for run in runs)
    found = [f"{count} runs of trial {number}" for number, count in counts.items() if count > 1]
    by_number = {run.data.tags.get(TRIAL_TAG, ""): run for run in runs}
    for record in history.records:
        run = by_number.pop(str(record.number), None)
        if run is None:
            found.append(f"trial {record.number} has no run")
        else:
            found.extend(
                f"trial {record.number}: {what}" for what in _differences(run, record, history)
            )
    return found + [f"a run of trial {number}, which is not finished" for number in by_number]


def _differences(run: Run, record: TrialRecord, history: History) -> Iterator[str]:
    status = "FAILED" if record.failure else "FINISHED"
    if run.info.status != status:
        yield f"is {run.info.status} instead of {status}"
    tags = trial_tags(record, history)
    wanted = {name: tags.get(name) for name in _AUDITED}
    published = {point.number: point.is_published for point in history.confirmed}
    if record.number in published:
        wanted["published"] = truth(published[record.number])
    for tag, value in wanted.items():
        # A tag that says nothing any more is set empty.
        if (run.data.tags.get(tag) or None) != value:
            yield f"tag {tag} is {run.data.tags.get(tag)!r} instead of {value!r}"
    params = {name: str(value) for name, value in trial_params(record).items()}
    # A run of before there was such an axis does not name it.
    first = {name: str(value) for name, [value] in OPTIONAL_AXES.items()}
    if params != {**first, **run.data.params}:
        yield f"params are {run.data.params} instead of {params}"
    for metric, number in trial_numbers(record, history).items():
        if run.data.metrics.get(metric) != number:
            yield f"metric {metric} is {run.data.metrics.get(metric)} instead of {number}"
