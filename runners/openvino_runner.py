"""The OpenVINO runner."""

from typing import ClassVar

from runners.lease import CPU
from runners.process_runner import ProcessRunner
from spaces import RunSpec


class OpenVinoRunner(ProcessRunner):
    """Runs ONNX files in OpenVINO itself; its execution providers are OpenVINO's devices."""

    runtime: ClassVar[str] = "openvino"
    default_provider: ClassVar[str] = "CPU"

    def device(self, run: RunSpec) -> str:
        """Return ``cpu``, or a name for OpenVINO's own device."""
        device = run.execution_provider
        return CPU if device == "CPU" else f"openvino:{device.lower()}"
