"""A study's MLflow: opened and updated, with models of its points."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from paretune.runners.store.artifact_store import ArtifactStore
from paretune.search.configure.schema import StudyConfig, StudyPaths
from paretune.search.record.history import History
from paretune.search.record.tracking import NoTracking, Tracking, UnusableTrackingError
from paretune.search.record.trial import TrialRecord
from paretune.search.review.guarded_tracking import GuardedTracking
from paretune.search.review.mlflow.logged_model import log_model, register_model
from paretune.search.review.mlflow.pictures import MlflowReview
from paretune.search.review.mlflow.run_tracking import MlflowTracking
from paretune.search.study.parts import study_runner
from paretune.search.study.samples import confirmed_samples
from paretune.spaces import StudyError

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient


def guarded_tracking(
    config: StudyConfig, paths: StudyPaths, definition: Mapping[str, Any]
) -> Tracking:
    """Return the tracking of a search, which survives failures of MLflow; open nothing yet."""
    if not config.tracking:
        return NoTracking()
    return GuardedTracking(partial(_view, config, paths, definition))


def open_tracking(
    config: StudyConfig, paths: StudyPaths, definition: Mapping[str, Any], history: History
) -> Tracking:
    """Return the study's tracking, brought up to date with its history.

    Raises:
        StudyError: If MLflow cannot be used.
    """
    return _opened(config, paths, definition, history) if config.tracking else NoTracking()


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
    if not config.tracking:
        raise StudyError(
            "the study has `tracking: false`: set it to true, then run `paretune sync`"
        )
    tracking = _opened(config, paths, definition, history)
    run_id = tracking.runs[record.number]
    models = _log_models(config, paths, tracking.client, {run_id: record})
    if run_id not in models:
        raise StudyError(
            f"MLflow's ONNX flavor runs ONNX files in ONNX Runtime; trial {record.number} is for "
            f"{record.candidate.run.runner}, was not confirmed, or left the store: pick another "
            "with `--runner onnxruntime`"
        )
    return register_model(tracking.client, models[run_id], run_id, name, alias)


def _opened(
    config: StudyConfig, paths: StudyPaths, definition: Mapping[str, Any], history: History
) -> MlflowTracking:
    try:
        view = _view(config, paths, definition)
        view.bring_up_to_date(history)
    except StudyError:
        raise
    except Exception as error:
        raise StudyError(_unusable(paths, error)) from error
    return view


def _view(config: StudyConfig, paths: StudyPaths, definition: Mapping[str, Any]) -> MlflowTracking:
    """Return the study's MLflow without an update.

    Raises:
        UnusableTrackingError: If a server of this kind can never be used.
        Exception: MLflow's own, if it does not answer.
    """
    from mlflow.tracking.registry import UnsupportedModelRegistryStoreURIException

    local = paths.tracking_uri.startswith("sqlite:")
    try:
        return MlflowTracking(
            paths.tracking_uri,
            name=config.name,
            definition=definition,
            artifacts=paths.artifacts if local else None,
            study_file=paths.study_file,
            review=MlflowReview(ArtifactStore(paths.store), partial(_log_models, config, paths)),
        )
    except (UnsupportedModelRegistryStoreURIException, ImportError) as error:
        # A scheme that MLflow does not know, or a database whose driver is not installed.
        raise UnusableTrackingError(_unusable(paths, error)) from error


def _unusable(paths: StudyPaths, error: Exception) -> str:
    return (
        f"cannot use MLflow at {paths.tracking_uri}: {type(error).__name__}: {error}; fix "
        f"`tracking_uri`, start the server, or set `tracking: false` to search without it"
    )


def _log_models(
    config: StudyConfig, paths: StudyPaths, client: MlflowClient, points: Mapping[str, TrialRecord]
) -> dict[str, str]:
    """Log trials' files as models of their runs; return the ids of the possible ones, by run."""
    samples = confirmed_samples(config, paths) if points else None
    if samples is None:
        return {}
    store = ArtifactStore(paths.store)
    inputs = replace(samples, pipeline=None).files(store, paths.folder).inputs
    models = {}
    for run_id, record in points.items():
        runner = study_runner(config, paths.folder, record.candidate.run.runner)
        artifact = record.measurement.artifact if record.measurement else ""
        model = store.get(artifact)
        if runner.record.serves_in_mlflow and model is not None:
            name = f"{config.name}-trial-{record.number}"
            options = runner.options(record.candidate.run)
            models[run_id] = log_model(
                client, run_id, model, artifact, record, name, options, inputs
            )
    return models
