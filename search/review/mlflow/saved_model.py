"""A point's ONNX file as a model folder of MLflow, with the session of its measurement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from paretune.runners.runtimes.runner import Samples
from paretune.runners.workload.model_file import ModelInput, model_inputs, model_tensor
from paretune.runners.workload.onnx_files.inputs import fixed_batch
from paretune.runners.workload.onnx_weights import fits_one_file
from paretune.spaces import ParetuneError


def save_onnx_model(
    model: Path,
    path: Path,
    provider: str,
    provider_options: Mapping[str, str],
    session_options: Mapping[str, int],
    samples: Samples,
    mlflow_model: Any = None,
    requirements: Sequence[str] | None = None,
) -> None:
    """Save an ONNX file in MLflow's format, with the ONNX flavor.

    `mlflow models serve` and `mlflow.pyfunc.load_model` make its session with these options.

    Args:
        model: The ONNX file.
        path: The folder, which must not be there yet.
        provider: Its execution provider.
        provider_options: Options of the provider.
        session_options: Attributes of ``SessionOptions``.
        samples: The model's inputs: the first sample is the example, and determines the signature.
        mlflow_model: The ``mlflow.models.Model`` to write into, if there is one.
        requirements: What serving needs, in pip's syntax; by default ONNX Runtime as it is here.
            MLflow's and ONNX's versions are added.
    """
    import mlflow.onnx
    import onnx
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    proto = onnx.load(model)
    inputs = model_inputs(model)
    batch = fixed_batch(inputs, samples.layout) or 1
    rows = [np.load(file, mmap_mode="r")[:batch] for file in samples.inputs]
    examples = samples.layout.feed([each.name for each in inputs], rows)
    is_one = len(examples) == 1
    signature = ModelSignature(
        inputs=Schema(
            [TensorSpec(each.dtype, _free(each), None if is_one else each.name) for each in inputs]
        ),
        outputs=Schema(
            [TensorSpec(each.dtype, _free(each), each.name) for each in _outputs(proto.graph)]
        ),
    )
    mlflow.onnx.save_model(
        proto,
        str(path),
        mlflow_model=mlflow_model,
        signature=signature,
        input_example=next(iter(examples.values())) if is_one else examples,
        # Named, so that MLflow does not infer them by running the model in a process.
        pip_requirements=[
            *(f"{package}=={version(package)}" for package in ("mlflow", "onnx")),
            *(requirements or [f"onnxruntime=={version('onnxruntime')}"]),
        ],
        onnx_execution_providers=[(provider, dict(provider_options))]
        if provider_options
        else [provider],
        onnx_session_options=dict(session_options),
        save_as_external_data=not fits_one_file(proto),
    )


def loaded_providers(path: Path) -> list[str]:
    """Return the providers of the session that MLflow makes here of a saved model, the first first.

    MLflow leaves a provider out that does not run, with a warning, and goes on without it.

    Raises:
        Exception: MLflow's or the runtime's own, if the model cannot be loaded.
    """
    import mlflow.pyfunc

    model = mlflow.pyfunc.load_model(str(path)).get_raw_model()
    return [str(name) for name in model.get_providers()]


def _free(tensor: ModelInput) -> tuple[int, ...]:
    """Return a tensor's shape in MLflow's form: -1 for any size."""
    return tuple(size if isinstance(size, int) else -1 for size in tensor.shape)


def _outputs(graph: Any) -> list[ModelInput]:
    """Return the outputs that are numeric tensors; a signature cannot hold others."""
    found = []
    for value in graph.output:
        with suppress(ParetuneError):
            found.append(model_tensor(value))
    return found
