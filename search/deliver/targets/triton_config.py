"""The configuration of a model for NVIDIA's Triton Inference Server, in protobuf's text format."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from paretune.search.deliver.service.point import ServicePoint
from paretune.search.deliver.service.tensors import V2_TYPES
from paretune.spaces import StudyError

_BACKENDS = {"onnxruntime": "onnxruntime", "openvino": "openvino"}
_TYPES = {**V2_TYPES, "string": "STRING"}
"""ONNX's element types as Triton's configuration names them."""

_GRAPH_LEVELS = {
    1: -1,
    2: 1,
}  # as Triton's ONNX Runtime backend counts; without a level it applies all


@dataclass(frozen=True)
class WarmUp:
    """An input of a model's warm-up.

    Attributes:
        name: The input's name.
        kind: Its type, as ONNX names it.
        shape: Its shape, without the batch where Triton adds it.
        file: The file with its values, in the folder ``warmup``.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    file: str


def has_batches(point: ServicePoint) -> bool:
    """Return whether Triton can join requests: the first axis of every tensor is the sample."""
    model, axes = point.manifest["model"], [*point.input_axes.values(), *point.output_axes.values()]
    tensors = [*model["inputs"], *model["outputs"]]
    return not any(axis != 0 for axis in axes) and all(map(_has_free_batch, tensors))


def config_pbtxt(point: ServicePoint, warm_up: Sequence[WarmUp] = ()) -> str:
    """Return a model's configuration in protobuf's text format.

    Fields are those of Triton's ``model_config.proto``.

    Args:
        point: The point.
        warm_up: The inputs of one request that warms each instance up.

    Raises:
        StudyError: If Triton has no backend for it.
    """
    manifest = point.manifest
    run = manifest["run"]
    backend = _BACKENDS.get(run["runtime"])
    if backend is None or "inputs" not in manifest["model"]:
        raise StudyError(
            f"a Triton repository takes ONNX files for the backends {' and '.join(_BACKENDS)}, "
            f"but this point runs on {run['runtime']}: pick another with `--runner onnxruntime`"
        )
    inputs, outputs = manifest["model"]["inputs"], manifest["model"]["outputs"]
    batches = has_batches(point)
    size = point.max_batch if batches else 0
    lines = [
        f"name: {_quoted(point.name)}",
        f"backend: {_quoted(backend)}",
        f"max_batch_size: {size}",
        f"default_model_filename: {_quoted(manifest['model']['file'])}",
        *_tensors("input", inputs, batches),
        *_tensors("output", outputs, batches),
        f"# {point.origin}",
        *_instances(point),
        *_optimization(run, backend),
        *_threads(point, backend),
    ]
    if size > 1:
        lines += _batching(point, size)
    if point.settings.hit_rate is not None:
        lines.append("response_cache { enable: true }")
    if warm_up:
        lines.append(_warm_up(warm_up))
    return "\n".join(lines) + "\n"


def _batching(point: ServicePoint, size: int) -> list[str]:
    delay_us = round(point.queue_delay_ms * 1e3)
    told = "what the latency budget leaves for waiting"
    if not delay_us:
        told = "no waiting: a call takes the requests that are there"
    return [
        f"# {told}",
        f"dynamic_batching {{ preferred_batch_size: [ {size} ] "
        f"max_queue_delay_microseconds: {delay_us} }}",
    ]


def _warm_up(inputs: Sequence[WarmUp]) -> str:
    # The batch size is 1 for models without batches, too: 0 is refused.
    given = " ".join(
        f"inputs {{ key: {_quoted(each.name)} value {{ data_type: TYPE_{_TYPES[each.kind]} "
        f"dims: [ {', '.join(map(str, each.shape))} ] input_data_file: {_quoted(each.file)} }} }}"
        for each in inputs
    )
    return f'model_warmup {{ name: "a sample of the bundle" batch_size: 1 {given} }}'


def _tensors(field: str, tensors: Sequence[Mapping[str, Any]], batches: bool) -> list[str]:
    lines = []
    for tensor in tensors:
        shape = tensor["shape"][1:] if batches else tensor["shape"]
        dims = ", ".join(str(d) if isinstance(d, int) and d > 0 else "-1" for d in shape)
        # Triton has no tensor without dimensions besides the batch: one of size 1 replaces it.
        reshape = "" if shape else " reshape { shape: [ ] }"
        lines.append(
            f"{field} {{ name: {_quoted(tensor['name'])} data_type: TYPE_{_TYPES[tensor['type']]} "
            f"dims: [ {dims or '1'} ]{reshape} }}"
        )
    return lines


def _instances(point: ServicePoint) -> list[str]:
    kind = "KIND_GPU" if point.is_on_nvidia else "KIND_CPU"
    return [f"instance_group {{ kind: {kind} count: {point.instances} }}"]


def _optimization(run: Mapping[str, Any], backend: str) -> list[str]:
    fields = _accelerator(run)
    level = run["session_options"].get("graph_optimization_level")
    if backend == "onnxruntime" and level in _GRAPH_LEVELS:
        fields.append(f"graph {{ level: {_GRAPH_LEVELS[level]} }}")
    return [f"optimization {{ {' '.join(fields)} }}"] if fields else []


def _accelerator(run: Mapping[str, Any]) -> list[str]:
    provider = run["execution_provider"]
    if provider == "TensorrtExecutionProvider":
        return [_accelerated("gpu", "tensorrt")]
    if provider == "OpenVINOExecutionProvider":
        return [_accelerated("cpu", "openvino")]
    if run["runtime"] == "onnxruntime" and provider not in (
        "CPUExecutionProvider",
        "CUDAExecutionProvider",
    ):
        raise StudyError(
            f"Triton's ONNX Runtime backend has no {provider}; pick a point on the CPU, CUDA, "
            f"TensorRT or OpenVINO provider"
        )
    return []


def _accelerated(where: str, by: str) -> str:
    accelerator = f"{where}_execution_accelerator {{ name: {_quoted(by)} }}"
    return f"execution_accelerators {{ {accelerator} }}"


def _threads(point: ServicePoint, backend: str) -> list[str]:
    session = point.manifest["run"]["session_options"]
    values: dict[str, Any] = (
        {
            "intra_op_thread_count": point.threads,
            "inter_op_thread_count": session["inter_op_num_threads"],
        }
        if backend == "onnxruntime"
        else {"INFERENCE_NUM_THREADS": point.threads, "NUM_STREAMS": 1}
    )
    return [
        f'parameters {{ key: "{key}" value {{ string_value: "{value}" }} }}'
        for key, value in values.items()
    ]


def _has_free_batch(tensor: Mapping[str, Any]) -> bool:
    """Tell whether the first dimension is a name, and not a number."""
    return bool(tensor["shape"]) and isinstance(tensor["shape"][0], str)


def _quoted(text: str) -> str:
    return json.dumps(text)
