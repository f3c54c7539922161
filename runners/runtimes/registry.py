"""The runtimes that a runner can have, by name."""

from paretune.runners.runtimes.onnxruntime_runner import OnnxRuntimeRunner
from paretune.runners.runtimes.openvino_runner import OpenVinoRunner
from paretune.runners.runtimes.process_runner import ProcessRunner
from paretune.runners.runtimes.pytorch_runner import PyTorchRunner
from paretune.spaces import Runtime

RUNTIMES: dict[Runtime, type[ProcessRunner]] = {
    runner.runtime: runner for runner in (OnnxRuntimeRunner, OpenVinoRunner, PyTorchRunner)
}
