"""The runtimes that a runner can have, by name."""

from runners.onnxruntime_runner import OnnxRuntimeRunner
from runners.openvino_runner import OpenVinoRunner
from runners.process_runner import ProcessRunner
from runners.pytorch_runner import PyTorchRunner
from spaces import Runtime

RUNTIMES: dict[Runtime, type[ProcessRunner]] = {
    runner.runtime: runner for runner in (OnnxRuntimeRunner, OpenVinoRunner, PyTorchRunner)
}
