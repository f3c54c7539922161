"""OpenVINO Model Server: a repository and its config.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from paretune.search.deliver.service.notes import NOTES, notes
from paretune.search.deliver.service.point import ServicePoint
from paretune.search.deliver.service.written import copy_model, write_files
from paretune.search.deliver.target import ExportSettings, TargetRecord
from paretune.spaces import StudyError

OPENVINO_MODEL_SERVER = TargetRecord(
    name="ovms",
    words="a repository for OpenVINO Model Server, with its config.json",
    write="paretune.search.deliver.targets.openvino_model_server:write_ovms",
    hint="docker run -p 9000:9000 -p 8000:8000 -v $(realpath {out}):/models "
    "openvino/model_server --config_path /models/config.json --port 9000 --rest_port 8000",
    settings=("rate_per_s",),
)

_SWITCHES = {"YES": True, "NO": False}


def write_ovms(bundle: Path, out: Path, settings: ExportSettings) -> Path:
    """Write a repository for OpenVINO Model Server.

    Streams are instances, and as many requests are inferred at once; ``INFERENCE_NUM_THREADS`` is
    the sum over the streams (OpenVINO's CPU device). The precision hint is the measured one: the
    server's default may be bfloat16. Keys are those of its ``src/schema.cpp``.

    Raises:
        StudyError: If the point was measured on another runtime than OpenVINO.
    """
    point = ServicePoint.of_bundle(bundle, settings)
    if point.runtime != "openvino":
        raise StudyError(
            f"OpenVINO Model Server runs models in OpenVINO, but this point was measured on "
            f"{point.runtime}: pick another with `--runner openvino`"
        )
    version = _next_version(out / point.name)
    copy_model(point, out / point.name / str(version))
    config = {
        "model_config_list": [{"config": _model(point)}],
        "monitoring": {"metrics": {"enable": True}},
    }
    start = OPENVINO_MODEL_SERVER.hint.format(out=out)
    verify = f"--url http://127.0.0.1:8000 --protocol v2 --model {point.name}"
    write_files(
        out,
        {
            "config.json": json.dumps(config, indent=2) + "\n",
            NOTES: notes(point, start, verify, _says(point), batches=False),
        },
    )
    return out / "config.json"


def _model(point: ServicePoint) -> dict[str, Any]:
    options = dict(point.provider_options)
    config: dict[str, Any] = {key: _SWITCHES.get(each, each) for key, each in options.items()}
    config["NUM_STREAMS"] = point.instances
    if "INFERENCE_NUM_THREADS" in config:
        config["INFERENCE_NUM_THREADS"] = point.cores
    model: dict[str, Any] = {
        "name": point.name,
        "base_path": point.name,  # relative to config.json
        "target_device": point.provider,
        "nireq": point.instances,
        "plugin_config": config,
    }
    layout = _layout(point)
    if layout:
        model["layout"] = layout
    if point.has_batch_axis and point.fixed_batch is None:
        model["batch_size"] = _batch(point)
    return model


def _batch(point: ServicePoint) -> int:
    """Return the samples of a request: the server gathers none, whatever the plan's batch is."""
    return point.measured_batch


def _layout(point: ServicePoint) -> dict[str, str]:
    """Return where the batch is in tensors where it is not the first axis: ``?N?``."""
    model, axes = point.manifest["model"], {**point.input_axes, **point.output_axes}
    return {
        each["name"]: "".join("N" if at == axis else "?" for at in range(len(each["shape"])))
        for each in (*model["inputs"], *model["outputs"])
        if (axis := axes.get(each["name"]))
    }


def _says(point: ServicePoint) -> list[str]:
    says = [
        "OpenVINO Model Server gathers no requests into one call and has no cache of answers: a "
        f"request has {_batch(point)} samples, as measured."
    ]
    if point.plan and point.max_batch > 1:
        says.append(
            "The capacity was found with requests gathered into calls, so it does not hold here: "
            "measure it again with one request a call, or take a target that batches."
        )
    return says


def _next_version(folder: Path) -> int:
    versions = [int(p.name) for p in folder.glob("*") if p.is_dir() and p.name.isdigit()]
    return max(versions, default=0) + 1
