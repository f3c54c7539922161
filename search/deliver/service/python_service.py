"""Services as Python files: the model made as measured, and a server of 30 lines around it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from paretune.runners.runtimes.onnxruntime_runner import CUDA, CUDA_OPTIONS, TENSORRT
from paretune.runners.runtimes.tensorrt_provider import precisions
from paretune.search.deliver.service.notes import NOTES, notes
from paretune.search.deliver.service.point import ServicePoint
from paretune.search.deliver.service.requirements import pinned
from paretune.search.deliver.service.tensors import V2_TYPES
from paretune.search.deliver.service.written import MODEL_FOLDER, copy_model, template, write_files
from paretune.spaces import StudyError

_SESSIONS = {"onnxruntime": "onnxruntime_session.py", "openvino": "openvino_session.py"}
"""The file that makes the session, by runtime."""

_NUMPY = {kind: kind for kind in V2_TYPES if kind != "bfloat16"}
_NUMPY |= {"float": "float32", "double": "float64", "string": "object"}
"""Numpy's names of ONNX's element types that it has."""

_NEVER_MS = 60000
"""Milliseconds after which requests are refused where no budget is known: BentoML's default."""

_HOPELESS = 10
"""Refused is a request that is expected to take this many times the budget: one that would only be
late is still answered. Chosen by judgement.
"""


def write_service(
    point: ServicePoint, out: Path, server: Mapping[str, str], requirements: list[str]
) -> None:
    """Write the model, the code that makes its session as measured, and a server around it.

    Args:
        point: The point.
        out: The folder; created if missing.
        server: The files of the server by name, as names of templates.
        requirements: What the server needs, in pip's syntax.

    Raises:
        StudyError: If no session can be made of the point here.
    """
    session = _SESSIONS.get(point.runtime)
    if session is None:
        raise StudyError(
            f"a Python service makes sessions of {' and '.join(_SESSIONS)}, but this point runs on "
            f"{point.runtime}: pick another with `--runner onnxruntime`"
        )
    model = copy_model(point, out / MODEL_FOLDER)
    files = {
        "figures.py": figures(point, model.relative_to(out).as_posix()),
        "model_session.py": template(session),
        "measured_model.py": template("measured_model.py"),
        **{name: template(source) for name, source in server.items()},
        "requirements.txt": "\n".join(pinned(point, *requirements)) + "\n",
    }
    write_files(out, files)


def write_python_target(
    point: ServicePoint,
    out: Path,
    server: str,
    requirements: list[str],
    start: str,
    says: Sequence[str] = (),
) -> Path:
    """Write a service that is one file, ``server.py``, and its notes; return that file.

    Args:
        point: The point.
        out: The folder; created if missing.
        server: The template of the file. The service speaks JSON on port 8000.
        requirements: What the server needs, in pip's syntax.
        start: The command that starts it.
        says: What else its user must know, in sentences.

    Raises:
        StudyError: If no session can be made of the point here.
    """
    write_service(point, out, {"server.py": server}, requirements)
    verify = "--url http://127.0.0.1:8000 --protocol json"
    write_files(out, {NOTES: notes(point, start, verify, says)})
    return out / "server.py"


def figures(point: ServicePoint, model: str) -> str:
    """Return the module of a service's figures.

    Args:
        point: The point.
        model: The model's file, below the folder of the module.
    """
    providers = _providers(point)
    fixed = point.fixed_batch
    if fixed is None and (point.runtime == "openvino" or point.provider == TENSORRT):
        # Both compile for a shape: calls are filled up to one size, as they were measured.
        fixed = point.max_batch if point.has_batch_axis else None
    level = [] if point.runtime != "onnxruntime" else [f"GRAPH_LEVEL = {point.graph_level}"]
    wait = "the longest time for which a call waits for more requests"
    if point.queue_delay_ms == 0 and point.max_batch > 1 and point.plan is None:
        wait = "no budget is known (--max-p99-ms, or a serving plan), so no call waits for more"
    constants = {name: each.value for name, each in point.constants.items()}
    lines = [
        '"""The figures that this service runs with, as Paretune measured them."""',
        "",
        "from pathlib import Path",
        "",
        f"NAME = {point.name!r}",
        f"MODEL = Path(__file__).parent / {model!r}",
        f"MODEL_SHA256 = {point.manifest['model']['sha256']!r}",
        f"STUDY = {point.manifest.get('study')!r}",
        f"TRIAL = {point.manifest.get('trial')!r}",
        f"RUNTIME = {point.runtime!r}",
        f"PROVIDERS = {providers!r}",
        *level,
        "",
        f"# {point.origin}.",
        f"INSTANCES = {point.instances}",
        f"THREADS = {point.threads}  # of an instance",
        f"MAX_BATCH = {point.max_batch}  # most requests in one call",
        f"# Seconds: {wait}.",
        f"QUEUE_DELAY_S = {point.queue_delay_ms / 1e3:.6g}",
        f"REFUSE_AFTER_MS = {_refuse_after_ms(point)}",
        "",
        "# How the model takes samples: type and batch axis of inputs, batch axis of outputs.",
        f"HAS_BATCH_AXIS = {point.has_batch_axis}",
        f"FIXED_BATCH = {fixed}",
        f"INPUTS = {_inputs(point)!r}",
        f"CONSTANTS = {constants!r}",
        f"OUTPUTS = {point.output_axes!r}",
    ]
    return "\n".join(lines) + "\n"


def _providers(point: ServicePoint) -> list[tuple[str, dict[str, Any]]]:
    options: dict[str, Any] = dict(point.provider_options)
    if point.provider != TENSORRT:
        return [(point.provider, options)]
    # As in the measurement: precisions follow the file, and CUDA runs what TensorRT leaves.
    model = point.bundle / point.manifest["model"]["file"]
    flags = {f"trt_{name}_enable": "1" for name in sorted(precisions(model))}
    card = {key: options[key] for key in ("device_id",) if key in options}
    return [(point.provider, flags | options), (CUDA, CUDA_OPTIONS | card)]


def _inputs(point: ServicePoint) -> dict[str, tuple[str, int | None]]:
    found: dict[str, tuple[str, int | None]] = {}
    for each in point.manifest["model"]["inputs"]:
        if each["type"] not in _NUMPY:
            raise StudyError(
                f"a Python service takes inputs as numpy arrays, but {each['name']!r} holds "
                f"{each['type']}, which numpy lacks: export it for triton"
            )
        found[each["name"]] = (_NUMPY[each["type"]], point.input_axes.get(each["name"]))
    return found


def _refuse_after_ms(point: ServicePoint) -> int:
    budget = point.budget_ms
    return _NEVER_MS if budget is None else max(1, math.ceil(_HOPELESS * budget))
