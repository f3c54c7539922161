"""A service by MLServer: a runtime of its own for the session, and MLServer's settings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from paretune.search.deliver.service.notes import NOTES, notes
from paretune.search.deliver.service.point import ServicePoint
from paretune.search.deliver.service.python_service import write_service
from paretune.search.deliver.service.tensors import v2_tensors
from paretune.search.deliver.service.written import write_files
from paretune.search.deliver.target import ExportSettings, TargetRecord

MLSERVER = TargetRecord(
    name="mlserver",
    words="a service by MLServer: settings, and a runtime that makes the session as measured",
    write="paretune.search.deliver.targets.mlserver:write_mlserver",
    hint="pip install -r {out}/requirements.txt; mlserver start {out}",
    settings=("rate_per_s", "hit_rate", "max_latency_ms"),
)

REQUIREMENTS = ["mlserver==1.7.1", "uvloop<0.22"]
"""The release that the exported files are tested with. Its workers do not start beside a newer
uvloop (SeldonIO/MLServer#2286).
"""

CACHED_ANSWERS = 10_000
"""Answers that the cache holds; MLServer drops the oldest. Chosen by judgement."""


def write_mlserver(bundle: Path, out: Path, settings: ExportSettings) -> Path:
    """Write a model folder for MLServer, which has no runtime for ONNX files of its own.

    Workers are instances, ``max_batch_time`` is the queue delay (MLServer's ``Settings`` and
    ``ModelSettings``). Its batches need the samples along the first axis, and a delay above zero.

    Raises:
        StudyError: If no Python service makes a session of the point.
    """
    point = ServicePoint.of_bundle(bundle, settings)
    write_service(point, out, {"runtime.py": "mlserver_runtime.py"}, REQUIREMENTS)
    model: dict[str, Any] = {
        "name": point.name,
        "implementation": "runtime.MeasuredRuntime",
        "platform": point.runtime,
        "inputs": v2_tensors(point, "inputs"),
        "outputs": v2_tensors(point, "outputs"),
        **_batching(point),
        "cache_enabled": settings.hit_rate is not None,
        "parameters": {"version": str(point.manifest.get("trial", 1))},
    }
    server: dict[str, Any] = {
        "debug": False,
        "parallel_workers": point.instances,
        "cache_enabled": settings.hit_rate is not None,
    }
    if settings.hit_rate is not None:
        server["cache_size"] = CACHED_ANSWERS
    files = {
        "model-settings.json": json.dumps(model, indent=2) + "\n",
        "settings.json": json.dumps(server, indent=2) + "\n",
        NOTES: notes(
            point,
            f"mlserver start {out}",
            f"--url http://127.0.0.1:8080 --protocol v2 --model {point.name}",
            _says(point),
            batches=bool(_batching(point)["max_batch_size"]),
        ),
    }
    write_files(out, files)
    return out / "model-settings.json"


def _batching(point: ServicePoint) -> dict[str, Any]:
    axes = [*point.input_axes.values(), *point.output_axes.values()]
    joins = not any(axes) and point.has_batch_axis and not point.constants
    if not joins or point.max_batch == 1 or point.queue_delay_ms == 0:
        return {"max_batch_size": 0, "max_batch_time": 0.0}
    return {"max_batch_size": point.max_batch, "max_batch_time": point.queue_delay_ms / 1e3}


def _says(point: ServicePoint) -> list[str]:
    says = [
        "One model to a server: the files of two exports have the same names.",
        "MLServer's own processes need a core besides those of the instances.",
    ]
    if point.settings.hit_rate is not None:
        says.append(
            "MLServer's cache compares the whole request, with its `id` and all of its headers: a "
            "request id in either, or a proxy that adds a header of its own, makes it a miss."
        )
    if point.max_batch > 1 and not _batching(point)["max_batch_size"]:
        says.append(
            "MLServer gathers no requests here: that takes a delay above zero (a serving plan or "
            "--max-p99-ms), and samples along the first axis."
        )
    return says
