"""What can run here, what cannot, and why: every provider is tried, not only asked for."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from runners.environment import fingerprint
from runners.failure import Failure
from runners.onnxruntime_runner import OnnxRuntimeRunner
from runners.runner import Description
from spaces import ParetuneError, RunSpec

_PACKAGE = {
    "CUDAExecutionProvider": "onnxruntime-gpu (instead of onnxruntime) and an NVIDIA driver",
    "TensorrtExecutionProvider": "onnxruntime-gpu (instead of onnxruntime) and TensorRT",
    "NvTensorRTRTXExecutionProvider": "onnxruntime-trt-rtx and an NVIDIA RTX card",
    "OpenVINOExecutionProvider": "onnxruntime-openvino, in a virtual environment of its own",
    "MIGraphXExecutionProvider": "onnxruntime-migraphx and an AMD graphics card",
    "DmlExecutionProvider": "onnxruntime-directml, on Windows",
    "QNNExecutionProvider": "onnxruntime-qnn, on a Qualcomm device",
    "CoreMLExecutionProvider": "onnxruntime on macOS",
    "AzureExecutionProvider": "a remote service: Paretune measures only the machine it runs on",
}


@dataclass(frozen=True)
class Device:
    """One execution provider on this machine.

    Attributes:
        runner: The runner it belongs to.
        execution_provider: Its name.
        works: Whether a model really ran on it just now.
        detail: The nodes that ran on it, or why none did and what would help.
    """

    runner: str
    execution_provider: str
    works: bool
    detail: str


def devices() -> list[Device]:
    """Try every execution provider that ONNX Runtime knows, working ones first.

    Raises:
        ParetuneError: If ONNX Runtime itself cannot be started.
    """
    runner = OnnxRuntimeRunner()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        described = runner.describe(folder)
        if isinstance(described, Failure):
            raise ParetuneError(f"ONNX Runtime cannot be started: {described.message}")
        model, inputs = _tiny_model(folder)
        found = [
            _try(runner, provider, described, model, inputs, folder)
            for provider in dict.fromkeys([*described.available, *described.known])
        ]
    return sorted(found, key=lambda device: not device.works)


def machine() -> str:
    """Return one line about this machine: processor, cores, governor, system."""
    values = fingerprint()
    return (
        f"{values['processor']} ({values['architecture']}), {values['cores']} cores, governor "
        f"{values['governor']}, {values['system']}"
    )


def _try(
    runner: OnnxRuntimeRunner,
    provider: str,
    described: Description,
    model: Path,
    inputs: Path,
    folder: Path,
) -> Device:
    if provider not in described.available or provider == "AzureExecutionProvider":
        needs = _PACKAGE.get(provider, "a build of ONNX Runtime with it")
        detail = needs if provider == "AzureExecutionProvider" else f"not installed: needs {needs}"
        return Device(runner.name, provider, False, detail)
    ran = runner.predict(model, RunSpec(runner.name, provider, 1, 1), [inputs], folder)
    if isinstance(ran, Failure):
        return Device(runner.name, provider, False, ran.message)
    nodes = ran.nodes_by_provider[provider]
    detail = (
        f"onnxruntime {described.versions['onnxruntime']}; ran {nodes} of {nodes} nodes of a test"
    )
    return Device(runner.name, provider, True, detail)


def _tiny_model(folder: Path) -> tuple[Path, Path]:
    """Write a matrix product and its input."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    weight = numpy_helper.from_array(np.eye(8, dtype=np.float32), "weight")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["input", "weight"], ["output"])],
        "test",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 8])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["batch", 8])],
        [weight],
    )
    model, inputs = folder / "test.onnx", folder / "test.npy"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), model)
    np.save(inputs, np.ones((1, 8), np.float32))
    return model, inputs
