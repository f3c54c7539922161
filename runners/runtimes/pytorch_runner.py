"""The PyTorch runner."""

from typing import ClassVar

from paretune.runners.model_format import ModelFormat
from paretune.runners.runtimes.lease import CPU
from paretune.runners.runtimes.process_runner import ProcessRunner
from paretune.spaces import RunSpec, Runtime


class PyTorchRunner(ProcessRunner):
    """Runs exported programs in PyTorch: ``eager-cpu``, ``compile-cpu``, and both on ``-cuda``."""

    runtime: ClassVar[Runtime] = "pytorch"
    model_format: ModelFormat = "pt2"
    default_provider: ClassVar[str] = "eager-cpu"

    def device(self, run: RunSpec) -> str:
        """Return ``cpu``, or the card."""
        if run.execution_provider.endswith("-cuda"):
            return f"gpu:{self.options(run).get('device_id', '0')}"
        return CPU
