"""The PyTorch runner."""

from typing import ClassVar

from paretune.runners.runtimes.lease import CPU
from paretune.runners.runtimes.process_runner import ProcessRunner
from paretune.runners.runtimes.registry import LAUNCHED, RuntimeRecord
from paretune.spaces import RunSpec

PYTORCH = RuntimeRecord(
    name="pytorch",
    model_format="pt2",
    default_provider="eager-cpu",
    backend=LAUNCHED / "pytorch_model.py",
    runner="paretune.runners.runtimes.pytorch_runner:PyTorchRunner",
    needs={
        "compile-cpu": "a C++ compiler (g++ or clang++)",
        "eager-cuda": "a CUDA build of torch and an NVIDIA driver",
        "compile-cuda": "a CUDA build of torch and an NVIDIA driver",
    },
    requirements={"eager-cuda": "torch>=2.11", "compile-cuda": "torch>=2.11"},
)


class PyTorchRunner(ProcessRunner):
    """Runs exported programs in PyTorch: ``eager-cpu``, ``compile-cpu``, and both on ``-cuda``."""

    default_record: ClassVar[RuntimeRecord] = PYTORCH

    def device(self, run: RunSpec) -> str:
        """Return ``cpu``, or the card."""
        if run.execution_provider.endswith("-cuda"):
            return f"gpu:{self.options(run).get('device_id', '0')}"
        return CPU
