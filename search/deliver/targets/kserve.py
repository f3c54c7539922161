"""KServe: an InferenceService on Kubernetes that scales by the measured capacity."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from paretune.search.deliver.service.kubernetes import (
    autoscaling,
    container,
    kubernetes_name,
    replicas,
)
from paretune.search.deliver.service.notes import NOTES, notes
from paretune.search.deliver.service.point import ServicePoint
from paretune.search.deliver.service.servers import known_server
from paretune.search.deliver.service.written import write_files
from paretune.search.deliver.target import ExportSettings, TargetRecord
from paretune.search.deliver.targets.triton import CACHE, write_triton

KSERVE = TargetRecord(
    name="kserve",
    words="an InferenceService for KServe, and the Triton repository that it serves",
    write="paretune.search.deliver.targets.kserve:write_kserve",
    hint="kubectl apply -f {out}/inferenceservice.yaml",
    settings=(
        "rate_per_s",
        "peak_rate_per_s",
        "hit_rate",
        "max_latency_ms",
        "image",
        "storage_uri",
        "server",
    ),
)

_NO_STORAGE = "s3://REPLACE-ME/models"
"""What stands in the file until the models have a place."""

_PORT = 8080
"""Port of KServe's containers."""


def write_kserve(bundle: Path, out: Path, settings: ExportSettings) -> Path:
    """Write an ``InferenceService`` (serving.kserve.io/v1beta1) for KServe's Standard mode.

    KServe serves ONNX files by Triton: the folder ``models`` is a Triton repository to copy to
    ``storageUri``. With an image, the service is that container instead.

    Raises:
        StudyError: If Triton has no backend for the point and there is no image, the image's server
            is unknown, or a rate is wished without a serving plan.
    """
    point = ServicePoint.of_bundle(bundle, settings)
    server = known_server(settings.server)
    says = [
        "Requests equal limits in whole cores, so that Kubernetes can pin them "
        "(`cpuManagerPolicy: static`): the measurement was pinned, too.",
    ]
    if settings.image is None:
        write_triton(bundle, out / "models", settings)
        says.append(f"Copy `{out}/models/` to the place of `storageUri`.")
        running = _triton(point) | container(point, f"/v2/models/{point.name}/ready", _PORT)
        predictor: dict[str, Any] = {"model": running}
        protocol = "v2"
    else:
        running = {
            "name": "kserve-container",
            "image": settings.image,
            "ports": [{"containerPort": server.port, "protocol": "TCP"}],
            **container(point, server.health, server.port),
        }
        predictor = {"containers": [running]}
        protocol = server.protocol
    fewest, most = replicas(point)
    scaling = autoscaling(point, by_requests=settings.image is None)
    service = {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {
            "name": kubernetes_name(point.name),
            "annotations": {
                "serving.kserve.io/deploymentMode": "Standard",
                "serving.kserve.io/autoscalerClass": scaling.by,
                "serving.kserve.io/enable-prometheus-scraping": "true",
            },
        },
        "spec": {
            "predictor": {
                **predictor,
                "minReplicas": fewest,
                "maxReplicas": most,
                **scaling.fields,
            }
        },
    }
    said = [*says, *scaling.says]
    header = [f"Figures: {point.origin}.", "KServe before 0.16 calls Standard mode RawDeployment."]
    header += [*scaling.says, *_storage_words(settings)]
    text = "".join(f"# {line}\n" for line in header) + yaml.safe_dump(service, sort_keys=False)
    verify = f"--url http://SERVICE --protocol {protocol} --model {point.name}"
    start = f"kubectl apply -f {out}/inferenceservice.yaml"
    write_files(out, {"inferenceservice.yaml": text, NOTES: notes(point, start, verify, said)})
    return out / "inferenceservice.yaml"


def _triton(point: ServicePoint) -> dict[str, Any]:
    model: dict[str, Any] = {
        "modelFormat": {"name": "onnx", "version": "1"},
        "runtime": "kserve-tritonserver",
        "protocolVersion": "v2",
        "storageUri": point.settings.storage_uri or _NO_STORAGE,
    }
    if point.settings.hit_rate is not None:
        model["args"] = ["=".join(CACHE.split(" "))]
    return model


def _storage_words(settings: ExportSettings) -> list[str]:
    if settings.image is not None or settings.storage_uri is not None:
        return []
    return ["Put the place of the models into storageUri (or export with --storage-uri)."]
