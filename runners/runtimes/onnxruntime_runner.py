"""The ONNX Runtime runner."""

from typing import ClassVar

from paretune.runners.runtimes.lease import CPU
from paretune.runners.runtimes.process_runner import ProcessRunner
from paretune.spaces import RunSpec, Runtime

_GPU_PROVIDERS = ("CUDA", "Tensorrt", "NvTensorRTRTX", "MIGraphX", "Dml")


class OnnxRuntimeRunner(ProcessRunner):
    """Runs ONNX files in ONNX Runtime, on any of its execution providers."""

    runtime: ClassVar[Runtime] = "onnxruntime"
    default_provider: ClassVar[str] = "CPUExecutionProvider"

    def options(self, run: RunSpec) -> dict[str, str]:
        """Return the provider options of a run."""
        options = super().options(run)
        if run.execution_provider == "OpenVINOExecutionProvider":
            # It does not read the session's thread count.
            options.setdefault("num_of_threads", str(run.intra_op_threads))
        if run.execution_provider == "XnnpackExecutionProvider":
            options.setdefault("intra_op_num_threads", str(run.intra_op_threads))
        return options

    def device(self, run: RunSpec) -> str:
        """Return ``cpu``, or the card for providers that run on one."""
        if run.execution_provider.startswith(_GPU_PROVIDERS):
            return f"gpu:{self.options(run).get('device_id', '0')}"
        return CPU
