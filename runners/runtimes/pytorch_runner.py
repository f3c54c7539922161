"""The PyTorch runner."""

from typing import ClassVar

from paretune.runners.runtimes.lease import CPU
from paretune.runners.runtimes.process_runner import ProcessRunner
from paretune.runners.runtimes.registry import LAUNCHED, RuntimeRecord
from paretune.spaces import RunSpec

_CARD = "a CUDA build of torch and an NVIDIA driver"
_COMPILER = f"{_CARD}, Triton, a C compiler (gcc or clang) and Python's headers"

PYTORCH = RuntimeRecord(
    name="pytorch",
    model_format="pt2",
    axes=("instances",),
    default_provider="eager-cpu",
    backend=LAUNCHED / "pytorch_model.py",
    runner="paretune.runners.runtimes.pytorch_runner:PyTorchRunner",
    needs={
        "compile-cpu": "a C++ compiler (g++ or clang++)",
        "eager-cuda": _CARD,
        "eager-cuda-graphs": _CARD,
        "compile-cuda": _COMPILER,
        "compile-cuda-graphs": _COMPILER,
        "compile-cuda-autotune": _COMPILER,
    },
    # Untested: a first compilation of a large model takes minutes on one core, and choosing among
    # all kernels several times that. Both are kept on disk for the next process.
    start_s={
        "compile-cpu": 600.0,
        "compile-cuda": 600.0,
        "compile-cuda-graphs": 600.0,
        "compile-cuda-autotune": 1800.0,
    },
    requirements={
        "eager-cuda": "torch>=2.11",
        "eager-cuda-graphs": "torch>=2.11",
        "compile-cuda": "torch>=2.11",
        "compile-cuda-graphs": "torch>=2.11",
        "compile-cuda-autotune": "torch>=2.11",
    },
)


class PyTorchRunner(ProcessRunner):
    """Runs exported programs in PyTorch, eagerly or compiled.

    The provider names how and where: ``eager-cpu``, ``compile-cpu``, ``eager-cuda`` and
    ``compile-cuda``. ``-graphs`` launches all kernels of a call at once, as one CUDA graph;
    ``compile-cuda-autotune`` does too, and times several kernels for each product first
    (``max-autotune``). Options on a card: ``device_id``; ``tf32: "1"`` lets fp32 numbers be
    multiplied in TF32; ``channels_last: "1"`` stores pictures with their channels last.
    """

    default_record: ClassVar[RuntimeRecord] = PYTORCH

    def device(self, run: RunSpec) -> str:
        """Return ``cpu``, or the card."""
        if "-cuda" in run.execution_provider:
            return f"gpu:{self.options(run).get('device_id', '0')}"
        return CPU
