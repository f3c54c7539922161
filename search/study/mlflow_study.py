"""A study's MLflow: opened and updated, with models of its points."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from paretune.search.record.history import History
from paretune.search.record.tracking import NoTracking, Tracking, UnusableTrackingError
from paretune.search.record.trial import TrialRecord
from paretune.search.review.guarded_tracking import GuardedTracking
from paretune.search.review.mlflow.logged_model import log_model, register_model
from paretune.search.review.mlflow.origin import log_test_split
from paretune.search.review.mlflow.pictures import MlflowReview
from paretune.search.review.mlflow.run_tracking import MlflowTracking
from paretune.search.study.open_study import OpenStudy
from paretune.search.study.parts import study_runner
from paretune.search.study.samples import confirmed_samples
from paretune.spaces import StudyError

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient


def guarded_tracking(study: OpenStudy) -> Tracking:
    """Return the tracking of a search, which survives failures of MLflow; open nothing yet."""
    if not study.config.tracking:
        return NoTracking()
    return GuardedTracking(partial(_view, study))


def open_tracking(study: OpenStudy, history: History) -> Tracking:
    """Return the study's tracking, brought up to date with its history.

    Raises:
        StudyError: If MLflow cannot be used.
    """
    return _opened(study, history) if study.config.tracking else NoTracking()


def register_point(
    study: OpenStudy, history: History, record: TrialRecord, name: str, alias: str | None
) -> str:
    """Register a trial's model in MLflow's model registry and return its version.

    Raises:
        StudyError: If MLflow cannot be used, the study does not track, or the point is not an ONNX
            file on ONNX Runtime.
    """
    if not study.config.tracking:
        raise StudyError(
            "the study has `tracking: false`: set it to true, then run `paretune sync`"
        )
    tracking = _opened(study, history)
    run_id = tracking.runs[record.number]
    models = _log_models(study, tracking.client, {run_id: record})
    if run_id not in models:
        raise StudyError(
            f"MLflow cannot register trial {record.number}: it takes confirmed ONNX files for ONNX "
            f"Runtime that are in the store (this trial ran in {record.candidate.run.runner}). "
            "Pick another with `--runner onnxruntime`"
        )
    return register_model(tracking.client, models[run_id], run_id, name, alias)


def _opened(study: OpenStudy, history: History) -> MlflowTracking:
    try:
        view = _view(study)
        view.bring_up_to_date(history)
    except StudyError:
        raise
    except Exception as error:
        raise StudyError(_unusable(study, error)) from error
    return view


def _view(study: OpenStudy) -> MlflowTracking:
    """Return the study's MLflow without an update.

    Raises:
        UnusableTrackingError: If a server of this kind can never be used.
        Exception: MLflow's own, if it does not answer.
    """
    from mlflow.tracking.registry import UnsupportedModelRegistryStoreURIException

    paths = study.paths
    local = paths.tracking_uri.startswith("sqlite:")
    try:
        return MlflowTracking(
            paths.tracking_uri,
            name=study.name,
            definition=study.definition,
            artifacts=paths.artifacts if local else None,
            study_file=paths.study_file,
            review=MlflowReview(study.store, partial(_log_models, study)),
        )
    except (UnsupportedModelRegistryStoreURIException, ImportError) as error:
        # A scheme that MLflow does not know, or a database whose driver is not installed.
        raise UnusableTrackingError(_unusable(study, error)) from error


def _unusable(study: OpenStudy, error: Exception) -> str:
    return (
        f"cannot use MLflow at {study.paths.tracking_uri}: {type(error).__name__}: {error}; fix "
        f"`tracking_uri`, start the server, or set `tracking: false` to search without it"
    )


def _log_models(
    study: OpenStudy, client: MlflowClient, points: Mapping[str, TrialRecord]
) -> dict[str, str]:
    """Log trials' files as models of their runs; return the ids of the possible ones, by run."""
    samples = confirmed_samples(study) if points else None
    if samples is None:
        return {}
    inputs = replace(samples, pipeline=None).files(study.store, study.paths.folder)
    models = {}
    files = (*samples.inputs, samples.targets)
    for run_id, record in points.items():
        log_test_split(client, run_id, study.name, str(study.definition["workload"]), files)
        runner = study_runner(study, record.candidate.run.runner)
        artifact = record.measurement.artifact if record.measurement else ""
        model = study.store.get(artifact)
        if runner.record.serves_in_mlflow and model is not None:
            name = f"{study.name}-trial-{record.number}"
            options = runner.options(record.candidate.run)
            models[run_id] = log_model(
                client, run_id, model, artifact, record, name, options, inputs
            )
    return models
