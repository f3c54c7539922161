"""A study's MLflow: opened and brought up to date, with models of its points."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from runners.store import ArtifactStore
from search.config import StudyConfig, StudyPaths
from search.history import History
from search.mlflow_model import log_model, register_model
from search.mlflow_review import MlflowReview
from search.mlflow_tracking import MlflowTracking
from search.study_parts import confirmed_samples, study_runner
from search.summary import trial_params
from search.tracking import GuardedTracking, NoTracking, Tracking
from search.trial import TrialRecord
from spaces import StudyError

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient


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
            review=MlflowReview(ArtifactStore(paths.store), partial(_log_model, config, paths)),
        )
        tracking.bring_up_to_date(history)
    except Exception as error:
        raise StudyError(
            f"MLflow at {paths.tracking_uri} cannot be used: {type(error).__name__}: {error}; mend "
            f"`tracking_uri`, start the server, or set `tracking: false` to search without it"
        ) from error
    return GuardedTracking(tracking)


def register_point(
    config: StudyConfig,
    paths: StudyPaths,
    definition: Mapping[str, Any],
    history: History,
    record: TrialRecord,
    name: str,
    alias: str | None,
) -> str:
    """Register a trial's model in MLflow's model registry and return its version.

    Raises:
        StudyError: If MLflow cannot be used, the study does not track, or the point is not an ONNX
            file on ONNX Runtime.
    """
    tracking = open_tracking(config, paths, definition, history)
    if not isinstance(tracking, GuardedTracking) or not isinstance(tracking.inner, MlflowTracking):
        raise StudyError("the study has `tracking: false`: set it to true, and `paretune sync` it")
    mlflow = tracking.inner
    run_id = mlflow.runs[record.number]
    model_id = _log_model(config, paths, mlflow.client, run_id, record)
    if model_id is None:
        raise StudyError(
            f"MLflow's ONNX flavor runs ONNX files in ONNX Runtime; trial {record.number} is for "
            f"{record.candidate.run.runner}, was not confirmed or left the store: pick another "
            f"with `--runner onnxruntime`"
        )
    return register_model(mlflow.client, model_id, run_id, name, alias)


def _log_model(
    config: StudyConfig, paths: StudyPaths, client: MlflowClient, run_id: str, record: TrialRecord
) -> str | None:
    """Log a trial's file as a model of its run; return its id, or ``None`` if it cannot run it."""
    run = record.candidate.run
    runner = study_runner(config, paths.folder, run.runner)
    samples = confirmed_samples(config, paths)
    measurement = record.measurement
    model = ArtifactStore(paths.store).get(measurement.artifact) if measurement else None
    if runner.runtime != "onnxruntime" or samples is None or model is None or measurement is None:
        return None
    return log_model(
        client,
        run_id,
        model,
        name=f"{config.name}-trial-{record.number}",
        provider=run.execution_provider,
        provider_options=runner.options(run),
        threads=run.intra_op_threads,
        example=np.load(samples.inputs[0], mmap_mode="r")[:1],
        metrics=measurement.metrics,
        params={name: str(value) for name, value in trial_params(record).items()},
    )
