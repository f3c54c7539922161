"""The OpenVINO runner."""

from typing import ClassVar

from paretune.runners.runtimes.lease import CPU
from paretune.runners.runtimes.process_runner import ProcessRunner
from paretune.runners.runtimes.registry import LAUNCHED, RuntimeRecord
from paretune.spaces import RunSpec

OPENVINO = RuntimeRecord(
    name="openvino",
    model_format="onnx",
    other_formats=("openvino",),
    axes=("input_shapes", "instances"),
    default_provider="CPU",
    backend=LAUNCHED / "openvino_model.py",
    runner="paretune.runners.runtimes.openvino_runner:OpenVinoRunner",
    needs={
        "GPU": "an Intel graphics card and its driver",
        "NPU": "an Intel neural processor and its driver",
    },
    requirements={"CPU": "openvino>=2026.3"},
)


class OpenVinoRunner(ProcessRunner):
    """Runs ONNX files in OpenVINO itself; its execution providers are OpenVINO's devices."""

    default_record: ClassVar[RuntimeRecord] = OPENVINO

    def options(self, run: RunSpec) -> dict[str, str]:
        """Return OpenVINO's compile options: for latency, with the run's number of threads."""
        options = {"PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": "1"}
        if run.execution_provider == "CPU":
            options["INFERENCE_NUM_THREADS"] = str(run.intra_op_threads)
            options["ENABLE_CPU_PINNING"] = "NO"  # the process is pinned as a whole
            # On a processor with bfloat16, OpenVINO would compute in it and call it fp32.
            options["INFERENCE_PRECISION_HINT"] = "f32"
        return options | super().options(run)

    def device(self, run: RunSpec) -> str:
        """Return ``cpu``, or a name for OpenVINO's own device."""
        device = run.execution_provider.removesuffix(".0")  # GPU and GPU.0 are one
        return CPU if device == "CPU" else f"openvino:{device.lower()}"
