"""The origin of a study's runs: the commit of its folder, and the data that it reads."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paretune.spaces import digest

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

_TIMEOUT_S = 10.0
"""Seconds that git may take. Chosen by judgement: it takes some milliseconds."""

_DIGEST_CHARACTERS = 36
"""MLflow's longest digest of a dataset."""

_SPLITS = {
    "training": "the train split",
    "calibration": "the calibration split",
    "validation": "the validation split",
}
"""The parts of a study's definition that are data, by the context that MLflow shows them in."""


def git_tags(folder: Path) -> dict[str, str]:
    """Return the tags in which MLflow looks for a commit: that of a folder in a git repository.

    Returns:
        ``mlflow.source.git.commit``, and whether the folder has changes that are not committed;
        empty outside of a repository, or without git.
    """
    commit = _git(folder, "rev-parse", "HEAD")
    if not commit:
        return {}
    is_dirty = _git(folder, "status", "--porcelain", "--untracked-files=no", "--", ".")
    return {
        "mlflow.source.git.commit": commit,
        "mlflow.source.git.dirty": "true" if is_dirty else "false",
    }


def log_splits(
    client: MlflowClient, run_id: str, study: str, definition: Mapping[str, Any]
) -> None:
    """Log the data that a search reads as inputs of the study's run, each with its digest."""
    known = definition.get("code or data of the workload")
    if isinstance(known, Mapping):  # the first versions kept one digest of all of it
        splits = {split: known[name] for split, name in _SPLITS.items() if name in known}
        _log(client, run_id, study, str(definition.get("workload", "")), splits)


def log_test_split(
    client: MlflowClient, run_id: str, study: str, workload: str, files: tuple[str, ...]
) -> None:
    """Log the data of a confirmation as an input of a published point's run.

    Args:
        client: MLflow.
        run_id: The run.
        study: The study's name.
        workload: What has the data.
        files: Digests of the inputs and the targets.
    """
    _log(client, run_id, study, workload, {"test": digest(list(files))})


def _log(
    client: MlflowClient, run_id: str, study: str, workload: str, splits: Mapping[str, str]
) -> None:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    source = json.dumps({"tags": {"mlflow.source.name": workload}})
    inputs = [
        DatasetInput(
            Dataset(f"{study} {split}", known[:_DIGEST_CHARACTERS], "code", source),
            [InputTag("mlflow.data.context", split)],
        )
        for split, known in splits.items()
    ]
    if inputs:
        client.log_inputs(run_id, inputs)


def _git(folder: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
