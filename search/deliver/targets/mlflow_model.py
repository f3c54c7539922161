"""A model folder of MLflow, for ``mlflow models serve`` and everything that reads one."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from paretune.runners.runtimes.registry import RUNTIMES
from paretune.runners.runtimes.runner import Samples
from paretune.search.deliver.bundle_folder import input_files, model_files
from paretune.search.deliver.service.notes import NOTES, notes
from paretune.search.deliver.service.point import ServicePoint
from paretune.search.deliver.service.requirements import pinned
from paretune.search.deliver.service.written import MODEL_FOLDER, write_files
from paretune.search.deliver.target import ExportSettings, TargetRecord
from paretune.spaces import StudyError

MLFLOW = TargetRecord(
    name="mlflow",
    words="a model folder of MLflow with the ONNX flavor",
    write="paretune.search.deliver.targets.mlflow_model:write_mlflow",
    hint="mlflow models serve -m {out}/model --env-manager local --port 5001",
    settings=("rate_per_s",),
)


def write_mlflow(bundle: Path, out: Path, settings: ExportSettings) -> Path:
    """Write a model folder whose session has the measured provider, threads and graph level.

    MLflow drops a provider that does not run, with a warning, and goes on with the processor. So
    the folder is loaded here, as MLflow does, and refused if another provider ran.

    Raises:
        StudyError: If MLflow's ONNX flavor does not run the point as it was measured, or the
            bundle has no samples.
    """
    from paretune.search.review.mlflow.saved_model import loaded_providers, save_onnx_model

    point = ServicePoint.of_bundle(bundle, settings)
    if point.runtime not in RUNTIMES or not RUNTIMES.get(point.runtime).serves_in_mlflow:
        raise StudyError(
            f"MLflow's ONNX flavor runs models in ONNX Runtime, but this point was measured on "
            f"{point.runtime}: pick another with `--runner onnxruntime`"
        )
    files = input_files(bundle, len([*bundle.glob("inputs*.npy")]))
    if not files:
        raise StudyError(
            f"{bundle} has no samples, which MLflow's signature is made of: pick again from a "
            "confirmed study (`paretune confirm`)"
        )
    session = {
        "intra_op_num_threads": point.threads,
        "inter_op_num_threads": 1,
        "graph_optimization_level": point.graph_level,
    }
    model = next(iter(model_files(bundle, point.manifest)))
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out) as aside:
        path = Path(aside) / MODEL_FOLDER
        samples = Samples(files, layout=point.layout)
        save_onnx_model(
            model,
            path,
            point.provider,
            point.provider_options,
            session,
            samples,
            requirements=pinned(point),
        )
        says = provider_words(point, loaded_providers(path))
        shutil.rmtree(out / MODEL_FOLDER, ignore_errors=True)
        path.rename(out / MODEL_FOLDER)
    workers = f" --workers {point.instances}" if point.instances > 1 else ""
    start = MLFLOW.hint.format(out=out) + workers
    verify = "--url http://127.0.0.1:5001 --protocol mlflow"
    write_files(out, {NOTES: notes(point, start, verify, says, batches=False)})
    return out / MODEL_FOLDER / "MLmodel"


def provider_words(point: ServicePoint, found: list[str]) -> list[str]:
    """Say where MLflow runs the model.

    Raises:
        StudyError: If that is another provider than the measured one, which runs here.
    """
    says = [
        "MLflow gathers no requests into one call: its capacity is that of calls of one request. "
        "It has no cache of answers.",
        "Where the provider does not run, MLflow warns in its log and goes on with the processor.",
    ]
    if found[:1] == [point.provider]:
        return [f"Loaded here by MLflow, it ran on {point.provider}.", *says]
    import onnxruntime

    if point.provider in onnxruntime.get_available_providers():
        raise StudyError(
            f"MLflow's ONNX flavor makes a session on {found[0]} of this point, which was measured "
            f"on {point.provider}: export it for triton or litserve instead"
        )
    return [
        f"Not checked: {point.provider} is not here, and MLflow ran the model on {found[0]}. Check "
        "where it is served.",
        *says,
    ]
