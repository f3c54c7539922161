"""Models in MLflow: a point's ONNX file as a logged model, and as a version in the registry."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from paretune.runners.runtimes.runner import Samples
from paretune.search.record.trial import TrialRecord
from paretune.search.review.mlflow.desired_runs import trial_params
from paretune.search.review.mlflow.metric_names import CONFIRMED, MetricNames
from paretune.search.review.mlflow.saved_model import save_onnx_model
from paretune.spaces import StudyError

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

_ARTIFACT = "artifact"
_MODEL = "paretune.model_id"


def log_model(
    client: MlflowClient,
    run_id: str,
    model: Path,
    artifact: str,
    record: TrialRecord,
    name: str,
    provider_options: Mapping[str, str],
    samples: Samples,
) -> str:
    """Log an ONNX file as a model of a run, unless the run already has it.

    It is an MLflow model with the ONNX flavor, with the provider and threads of its measurement, so
    `mlflow models serve` and `mlflow.pyfunc.load_model` run it the same way.

    Args:
        client: MLflow.
        run_id: The trial's run.
        model: The ONNX file.
        artifact: Its digest, which tells whether the run already has it.
        record: The trial: how it was made, run and measured.
        name: The model's name.
        provider_options: Options of its execution provider.
        samples: The model's inputs: the first sample is the example, and determines the signature.

    Returns:
        The model's id.
    """
    from mlflow.entities import LoggedModelOutput, LoggedModelStatus, Metric
    from mlflow.models import Model

    run = client.get_run(run_id)
    for output in run.outputs.model_outputs if run.outputs else ():
        known = client.get_logged_model(output.model_id)
        if known.tags.get(_ARTIFACT) == artifact and known.status == LoggedModelStatus.READY:
            return known.model_id
    run_spec = record.candidate.run
    logged = client.create_logged_model(
        run.info.experiment_id,
        name=name,
        source_run_id=run_id,
        tags={_ARTIFACT: artifact},
        params={name: str(value) for name, value in trial_params(record).items()},
        model_type="onnx",
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model"
        save_onnx_model(
            model,
            path,
            run_spec.execution_provider,
            provider_options,
            run_spec.session_options,
            samples,
            Model(run_id=run_id, model_id=logged.model_id),
        )
        client.log_model_artifacts(logged.model_id, str(path))
    client.finalize_logged_model(logged.model_id, LoggedModelStatus.READY)
    client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, 0)])
    names = MetricNames(any("/" in name for name in run.data.metrics))
    # As metrics of the run, linked to the model, so that MLflow lists them with both.
    client.log_batch(
        run_id,
        metrics=[
            Metric(
                names.of_metric(f"{CONFIRMED}{key}"),
                value,
                run.info.start_time,
                0,
                model_id=logged.model_id,
            )
            for key, value in record.metrics.items()
        ],
    )
    return str(logged.model_id)


def register_model(
    client: MlflowClient, model_id: str, run_id: str, name: str, alias: str | None
) -> str:
    """Register a logged model as a version, and point an alias at it.

    A model that is already a version keeps its number.

    Returns:
        The version.

    Raises:
        StudyError: If the registry refuses the name or the alias.
    """
    import mlflow
    from mlflow.exceptions import MlflowException

    # MLflow looks a model's files up in its process-wide tracking store, whatever the client's is.
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(client.tracking_uri)
    try:
        known = _has_model(client, name)
        if not known:
            client.create_registered_model(name)
        versions = client.search_model_versions(f"name = '{name}'") if known else []
        same = [each for each in versions if each.tags.get(_MODEL) == model_id]
        made = (
            same[0]
            if same
            else client.create_model_version(
                name,
                f"models:/{model_id}",
                run_id=run_id,
                tags={_MODEL: model_id},
                model_id=model_id,
            )
        )
        if alias is not None:
            client.set_registered_model_alias(name, alias, made.version)
    except MlflowException as error:
        raise StudyError(
            f"MLflow's registry refused {name!r}"
            f"{f' with alias {alias!r}' if alias else ''}: {error.message}"
        ) from error
    finally:
        mlflow.set_tracking_uri(before)
    return str(made.version)


def _has_model(client: MlflowClient, name: str) -> bool:
    """Tell whether a registry has a model, by name, because lists come in pages."""
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST, ErrorCode

    try:
        client.get_registered_model(name)
    except MlflowException as error:
        if error.error_code != ErrorCode.Name(RESOURCE_DOES_NOT_EXIST):
            raise
        return False
    return True
