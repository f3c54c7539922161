"""A model repository for NVIDIA's Triton Inference Server."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from paretune.search.deliver.bundle_folder import model_files
from paretune.search.deliver.target import TargetRecord
from paretune.spaces import StudyError

TRITON = TargetRecord(
    name="triton",
    words="a model repository for NVIDIA's Triton Inference Server",
    write="paretune.search.deliver.targets.triton:write_triton",
    hint="tritonserver --model-repository={out}",
)

_BACKENDS = {"onnxruntime": "onnxruntime", "openvino": "openvino"}
_TYPES = {  # ONNX's element types as Triton names them
    "float": "FP32",
    "float16": "FP16",
    "bfloat16": "BF16",
    "double": "FP64",
    "int8": "INT8",
    "int16": "INT16",
    "int32": "INT32",
    "int64": "INT64",
    "uint8": "UINT8",
    "uint16": "UINT16",
    "uint32": "UINT32",
    "uint64": "UINT64",
    "bool": "BOOL",
    "string": "STRING",
}
_GRAPH_LEVELS = {
    1: -1,
    2: 1,
}  # as Triton's ONNX Runtime backend counts; without a level it applies all
_GPU_PROVIDERS = ("CUDAExecutionProvider", "TensorrtExecutionProvider")


def write_triton(bundle: Path, repository: Path, name: str) -> Path:
    """Put a bundle's model into a Triton model repository, as its next version.

    The picked batch size is Triton's maximum and preferred one; provider, threads and graph
    optimization are those of the measurement (Triton's user guide, "Model Configuration").

    Args:
        bundle: A bundle's folder.
        repository: The repository's folder; created if missing.
        name: The model's name in it.

    Returns:
        The path of its ``config.pbtxt``.

    Raises:
        StudyError: If Triton has no backend that runs the model as it was measured.
    """
    manifest = json.loads((bundle / "manifest.json").read_text("utf-8"))
    text = config_pbtxt(manifest, name)
    folder = repository / name
    versions = [int(p.name) for p in folder.glob("*") if p.is_dir() and p.name.isdigit()]
    version = folder / str(max(versions, default=0) + 1)
    version.mkdir(parents=True)
    for path in model_files(bundle, manifest):
        target = version / path.relative_to(bundle)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    config = folder / "config.pbtxt"
    config.write_text(text, "utf-8")
    return config


def config_pbtxt(manifest: Mapping[str, Any], name: str) -> str:
    """Return a model's configuration in protobuf's text format.

    Args:
        manifest: A bundle's manifest.
        name: The model's name.

    Raises:
        StudyError: If Triton has no backend for it.
    """
    run = manifest["run"]
    backend = _BACKENDS.get(run["runtime"])
    if backend is None or "inputs" not in manifest["model"]:
        raise StudyError(
            f"a Triton repository takes ONNX files for the backends {' and '.join(_BACKENDS)}, "
            f"but this point runs on {run['runtime']}: pick another with `--runner onnxruntime`"
        )
    inputs, outputs = manifest["model"]["inputs"], manifest["model"]["outputs"]
    batches = all(_has_free_batch(each) for each in [*inputs, *outputs])
    size = run["batch_size"] if batches else 0
    lines = [
        f"name: {_quoted(name)}",
        f"backend: {_quoted(backend)}",
        f"max_batch_size: {size}",
        f"default_model_filename: {_quoted(manifest['model']['file'])}",
        *_tensors("input", inputs, batches),
        *_tensors("output", outputs, batches),
        *_instances(run),
        *_optimization(run, backend),
        *_threads(run, backend),
    ]
    if size > 1:
        lines.append(f"dynamic_batching {{ preferred_batch_size: [ {size} ] }}")
    return "\n".join(lines) + "\n"


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


def _instances(run: Mapping[str, Any]) -> list[str]:
    kind = "KIND_GPU" if run["execution_provider"] in _GPU_PROVIDERS else "KIND_CPU"
    return [f"instance_group {{ kind: {kind} count: 1 }}"]


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


def _threads(run: Mapping[str, Any], backend: str) -> list[str]:
    threads = run["session_options"]
    values = (
        {
            "intra_op_thread_count": threads["intra_op_num_threads"],
            "inter_op_thread_count": threads["inter_op_num_threads"],
        }
        if backend == "onnxruntime"
        else {"INFERENCE_NUM_THREADS": threads["intra_op_num_threads"], "NUM_STREAMS": 1}
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
