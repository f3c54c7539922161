"""Which providers run here, which do not, and why: every provider is tried."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from paretune.runners.environment import fingerprint
from paretune.runners.failure import Failure
from paretune.runners.model_format import ModelFormat
from paretune.runners.runtimes.lease import waiting_until
from paretune.runners.runtimes.process_runner import ProcessRunner
from paretune.runners.runtimes.registry import RUNTIMES
from paretune.runners.runtimes.runner import Description, Samples
from paretune.runners.runtimes.settings import MeasurementSettings
from paretune.spaces import DeviceBusyError, RunSpec

_NEEDS = {
    "CUDAExecutionProvider": "onnxruntime-gpu (instead of onnxruntime) and an NVIDIA driver",
    "TensorrtExecutionProvider": "onnxruntime-gpu (instead of onnxruntime) and TensorRT",
    "NvTensorRTRTXExecutionProvider": "onnxruntime-trt-rtx and an NVIDIA RTX card",
    "OpenVINOExecutionProvider": "onnxruntime-openvino, in a virtual environment of its own",
    "MIGraphXExecutionProvider": "onnxruntime-migraphx and an AMD graphics card",
    "DmlExecutionProvider": "onnxruntime-directml, on Windows",
    "QNNExecutionProvider": "onnxruntime-qnn, on a Qualcomm device",
    "CoreMLExecutionProvider": "onnxruntime on macOS",
    "GPU": "an Intel graphics card and its driver",
    "NPU": "an Intel neural processor and its driver",
    "compile-cpu": "a C++ compiler (g++ or clang++)",
    "eager-cuda": "a CUDA build of torch and an NVIDIA driver",
    "compile-cuda": "a CUDA build of torch and an NVIDIA driver",
}
_REMOTE = {"AzureExecutionProvider": "a remote service: Paretune measures only this machine"}


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
    """Try every execution provider that the runtimes know, working ones first."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found = [each for kind in RUNTIMES.values() for each in _providers(kind(), folder)]
    return sorted(found, key=lambda device: not device.works)


def machine() -> str:
    """Return one line about this machine: processor, cores, memory, governor, system, cards."""
    values = fingerprint()
    cards = [f"{device}: {card}" for device, card in values.items() if device.startswith("gpu:")]
    return "; ".join(
        [
            f"{values['processor']} ({values['architecture']}), {values['cores']} cores, "
            f"{values['memory_gib']} GiB, governor {values['governor']}, {values['system']}",
            *cards,
        ]
    )


def _providers(runner: ProcessRunner, folder: Path) -> Iterator[Device]:
    described = runner.describe(folder)
    if isinstance(described, Failure):
        yield Device(runner.name, runner.default_provider, False, described.message)
        return
    model, inputs = _tiny_model(folder, runner.model_format)
    for provider in dict.fromkeys([*described.available, *described.known]):
        if provider in _REMOTE:
            yield Device(runner.name, provider, False, _REMOTE[provider])
        elif provider not in described.available:
            needs = _NEEDS.get(provider, f"a build of {runner.runtime} with it")
            yield Device(runner.name, provider, False, f"not available: needs {needs}")
        else:
            yield _try(runner, provider, described, model, Samples([inputs]), folder)


def _try(
    runner: ProcessRunner,
    provider: str,
    described: Description,
    model: Path,
    samples: Samples,
    folder: Path,
) -> Device:
    run = RunSpec(runner.name, provider, 1, 1)
    try:
        # A person who only asks for devices does not wait for a training to end.
        with waiting_until(time.monotonic() + _PATIENCE_S):
            ran = runner.predict(model, run, samples, folder, MeasurementSettings())
    except DeviceBusyError as busy:
        return Device(runner.name, provider, False, f"installed, but not tried: {busy}")
    if isinstance(ran, Failure):
        return Device(runner.name, provider, False, ran.message)
    versions = [f"{name} {v}" for name, v in described.versions.items() if name in _RUNTIME_NAMES]
    nodes = ran.providers[provider].nodes
    detail = f"{', '.join(versions)}; ran {nodes} of {nodes} nodes of a test"
    return Device(runner.name, provider, True, detail)


_PATIENCE_S = 5.0
_RUNTIME_NAMES = ("onnxruntime", "openvino", "torch", "gpu")


def _tiny_model(folder: Path, model_format: ModelFormat) -> tuple[Path, Path]:
    """Write a matrix product and its input."""
    inputs = folder / "test.npy"
    np.save(inputs, np.ones((1, 8), np.float32))
    path = folder / f"test.{model_format}"
    if model_format == "pt2":
        import torch

        program = torch.export.export(torch.nn.Linear(8, 8).eval(), (torch.ones(1, 8),))
        torch.export.save(program, path)
        return path, inputs
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
    # The format version that older builds of ONNX Runtime can read.
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), path)
    return path, inputs
