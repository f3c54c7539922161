"""A model repository for NVIDIA's Triton Inference Server."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from paretune.search.deliver.bundle_folder import input_files
from paretune.search.deliver.service.notes import NOTES, notes
from paretune.search.deliver.service.point import ServicePoint
from paretune.search.deliver.service.written import copy_model, write_files
from paretune.search.deliver.target import ExportSettings, TargetRecord
from paretune.search.deliver.targets.triton_config import WarmUp, config_pbtxt, has_batches

TRITON = TargetRecord(
    name="triton",
    words="a model repository for NVIDIA's Triton Inference Server",
    write="paretune.search.deliver.targets.triton:write_triton",
    hint="tritonserver --model-repository={out}",
    settings=("rate_per_s", "hit_rate", "max_latency_ms"),
)

CACHE = "--cache-config local,size=67108864"
"""Triton's option for a cache of answers of 64 MiB in a server. Chosen by judgement."""


def write_triton(bundle: Path, repository: Path, settings: ExportSettings) -> Path:
    """Put a bundle's model into a Triton model repository, as its next version.

    Instances, threads, batch and queue delay are those of the serving plan; provider and graph
    optimization those of the measurement (Triton's user guide, "Model Configuration"). A sample of
    the bundle warms each instance up, so that a server is ready only when calls are fast.

    Args:
        bundle: A bundle's folder.
        repository: The repository's folder; created if missing.
        settings: What the export is for.

    Returns:
        The path of its ``config.pbtxt``.

    Raises:
        StudyError: If Triton has no backend that runs the model as it was measured.
    """
    point = ServicePoint.of_bundle(bundle, settings)
    samples = warm_up_samples(point)
    text = config_pbtxt(point, [warm_up for warm_up, _ in samples])
    folder = repository / point.name
    versions = [int(p.name) for p in folder.glob("*") if p.is_dir() and p.name.isdigit()]
    copy_model(point, folder / str(max(versions, default=0) + 1))
    for warm_up, array in samples:
        path = folder / "warmup" / warm_up.file
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(np.ascontiguousarray(array).tobytes())
    start = (
        f"{TRITON.hint.format(out=repository)}{'' if settings.hit_rate is None else f' {CACHE}'}"
    )
    verify = f"--url http://127.0.0.1:8000 --protocol v2 --model {point.name}"
    files = {"config.pbtxt": text, NOTES: notes(point, start, verify, _says(point))}
    write_files(folder, files)
    return folder / "config.pbtxt"


def warm_up_samples(point: ServicePoint) -> list[tuple[WarmUp, np.ndarray]]:
    """Return a request of a bundle's samples, one entry per input; none if it has no samples.

    Triton adds the batch itself to inputs of models with batches. Those whose type numpy lacks
    cannot be warmed up.
    """
    model = point.manifest["model"]
    files = [f for f in input_files(point.bundle, len(model["inputs"])) if f.is_file()]
    if not files:
        return []
    joins = has_batches(point)
    rows = 1 if joins else (point.fixed_batch or 1)
    arrays = [np.load(file)[:rows] for file in files]
    if any(len(array) < rows or array.dtype.hasobject for array in arrays):
        return []
    feed = point.layout.feed([each["name"] for each in model["inputs"]], arrays)
    return [_warm_up(each, np.asarray(feed[each["name"]]), joins) for each in model["inputs"]]


def _warm_up(
    tensor: Mapping[str, str], array: np.ndarray, joins: bool
) -> tuple[WarmUp, np.ndarray]:
    shape = array.shape[1:] if joins else array.shape
    file = "".join(letter if letter.isalnum() else "_" for letter in tensor["name"])
    return WarmUp(tensor["name"], tensor["type"], shape or (1,), file), array


def _says(point: ServicePoint) -> list[str]:
    says = [
        f"Each instance has its own threads ({point.threads}). For several models on the same "
        "cores, `--backend-config=onnxruntime,enable-global-threadpool=1` shares one pool instead: "
        "that was not measured.",
    ]
    if point.settings.hit_rate is not None:
        says.append(f"The cache needs `{CACHE}` at the start of the server.")
    return says
