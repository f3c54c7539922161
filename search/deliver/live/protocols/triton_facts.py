"""What Triton's extensions of the protocol tell: how a model runs, and how long its parts took.

Sources: Triton's user guide, "Model Configuration"; its "Statistics Extension".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from paretune.search.deliver.live.service import Counters, Provenance
from paretune.spaces import ServiceError

_PARTS = {"request": "success", "queue": "queue", "compute": "compute_infer"}
"""Triton's durations by the part of a request that they are."""

_ACCELERATORS = {
    "tensorrt": "TensorrtExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
}


def provenance_of_config(config: Any) -> Provenance:
    """Return what a model configuration says of provider and threads.

    Raises:
        ServiceError: If it is none.
    """
    if not isinstance(config, Mapping) or not (config.get("backend") or config.get("platform")):
        raise ServiceError("this is not a model configuration of Triton")
    backend = str(config.get("backend") or config["platform"])
    kinds = {str(each.get("kind")) for each in config.get("instance_group") or ()}
    count = sum(int(each.get("count") or 1) for each in config.get("instance_group") or ())
    told = config.get("parameters") or {}
    threads = [
        int(told[key]["string_value"])
        for key in ("intra_op_thread_count", "INFERENCE_NUM_THREADS")
        if key in told
    ]
    words = f"backend {backend}, {count or 1} × {', '.join(sorted(kinds)) or 'instance'}"
    return Provenance(
        "the model configuration",
        _provider(backend, kinds, config.get("optimization") or {}),
        threads[0] if threads else None,
        words=words,
    )


def _provider(backend: str, kinds: set[str], optimization: Mapping[str, Any]) -> str | None:
    """Return the provider that a configuration asks for, as ONNX Runtime or OpenVINO name it."""
    if backend == "openvino":
        return "GPU" if "KIND_GPU" in kinds else "CPU"
    if "onnxruntime" not in backend:
        return None
    accelerators = optimization.get("execution_accelerators") or {}
    for each in (
        *(accelerators.get("gpu_execution_accelerator") or ()),
        *(accelerators.get("cpu_execution_accelerator") or ()),
    ):
        if (name := _ACCELERATORS.get(str(each.get("name")))) is not None:
            return name
    return "CUDAExecutionProvider" if "KIND_GPU" in kinds else "CPUExecutionProvider"


def statistics_counters(values: Any) -> Counters:
    """Return what the statistics of a model count.

    Raises:
        ServiceError: If they are none.
    """
    try:
        each = values["model_stats"][0]["inference_stats"]
        return {
            part: (int(each[name].get("ns", 0)) / 1e6, float(each[name].get("count", 0)))
            for part, name in _PARTS.items()
        }
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise ServiceError(f"these are no statistics of a model ({error!r})") from error
