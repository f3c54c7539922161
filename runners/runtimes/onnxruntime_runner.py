"""The ONNX Runtime runner."""

from pathlib import Path
from typing import ClassVar

from paretune.runners.runtimes.launched.backend import Job
from paretune.runners.runtimes.lease import CPU
from paretune.runners.runtimes.process_runner import ProcessRunner
from paretune.runners.runtimes.registry import LAUNCHED, RuntimeRecord
from paretune.runners.runtimes.runner import Samples
from paretune.runners.runtimes.settings import MeasurementSettings
from paretune.runners.runtimes.tensorrt_provider import batch_dimensions, tensorrt_options
from paretune.spaces import RunSpec

_ON_CARDS = ("CUDA", "Tensorrt", "NvTensorRTRTX")
_ON_PROCESSOR = ("CPU", "OpenVINO", "Dnnl", "Xnnpack", "ACL", "ArmNN")
CUDA, TENSORRT = "CUDAExecutionProvider", "TensorrtExecutionProvider"

# fp32 means fp32: by default, ONNX Runtime multiplies fp32 numbers in TF32. The search for a
# convolution's algorithm is its default, made explicit.
CUDA_OPTIONS = {"use_tf32": "0", "cudnn_conv_algo_search": "EXHAUSTIVE"}

ONNXRUNTIME = RuntimeRecord(
    name="onnxruntime",
    model_format="onnx",
    default_provider="CPUExecutionProvider",
    backend=LAUNCHED / "onnxruntime_model.py",
    runner="paretune.runners.runtimes.onnxruntime_runner:OnnxRuntimeRunner",
    axes=("graph_optimization", "instances"),
    takes_libraries=True,
    serves_in_mlflow=True,
    needs={
        "CUDAExecutionProvider": "onnxruntime-gpu (instead of onnxruntime) and an NVIDIA driver",
        "TensorrtExecutionProvider": "onnxruntime-gpu (instead of onnxruntime) and TensorRT",
        "NvTensorRTRTXExecutionProvider": "onnxruntime-trt-rtx and an NVIDIA RTX card",
        "OpenVINOExecutionProvider": "onnxruntime-openvino, in a virtual environment of its own",
        "MIGraphXExecutionProvider": "onnxruntime-migraphx and an AMD graphics card",
        "DmlExecutionProvider": "onnxruntime-directml, on Windows",
        "QNNExecutionProvider": "onnxruntime-qnn, on a Qualcomm device",
        "CoreMLExecutionProvider": "onnxruntime on macOS",
    },
    unusable={"AzureExecutionProvider": "a remote service: Paretune measures only this machine"},
    requirements={
        "CUDAExecutionProvider": "onnxruntime-gpu[cuda,cudnn]==1.31.1",
        "TensorrtExecutionProvider": "onnxruntime-gpu[cuda,cudnn]==1.31.1 tensorrt-cu13<11",
        "OpenVINOExecutionProvider": "onnxruntime-openvino==1.24.1",
    },
    # Untested: TensorRT times its kernels for minutes before the first call, for each shape.
    start_s={TENSORRT: 1800.0},
)


class OnnxRuntimeRunner(ProcessRunner):
    """Runs ONNX files in ONNX Runtime, on any of its execution providers."""

    default_record: ClassVar[RuntimeRecord] = ONNXRUNTIME

    def options(self, run: RunSpec) -> dict[str, str]:
        """Return the provider options of a run."""
        options = super().options(run)
        if run.execution_provider == "OpenVINOExecutionProvider":
            # It does not read the session's thread count.
            options.setdefault("num_of_threads", str(run.intra_op_threads))
        if run.execution_provider == "XnnpackExecutionProvider":
            options.setdefault("intra_op_num_threads", str(run.intra_op_threads))
        return CUDA_OPTIONS | options if run.execution_provider == CUDA else options

    def device(self, run: RunSpec) -> str:
        """Return ``cpu``, the NVIDIA card, or a name for another device, such as ``qnn:0``."""
        provider, options = run.execution_provider, self.options(run)
        number = options.get("device_id", "0")
        if provider.startswith(_ON_CARDS):
            return f"gpu:{number}"
        kind = options.get("device_type", "CPU").lower()
        if provider.startswith("OpenVINO") and not kind.startswith("cpu"):
            return f"openvino:{kind.removesuffix('.0')}"
        if provider.startswith(_ON_PROCESSOR):
            return CPU
        return f"{provider.removesuffix('ExecutionProvider').lower()}:{number}"

    def _job(
        self,
        model: Path,
        run: RunSpec,
        samples: Samples,
        settings: MeasurementSettings | None = None,
    ) -> Job:
        job = super()._job(model, run, samples, settings)
        options: dict[str, str] = job["options"]
        if run.execution_provider == TENSORRT:
            card = {key: options[key] for key in ("device_id",) if key in options}
            second = CUDA_OPTIONS | card | self.provider_options.get(CUDA, {})
            chosen = tensorrt_options(model) | options
            Path(chosen["trt_engine_cache_path"]).mkdir(parents=True, exist_ok=True)
            job |= {"options": chosen, "others": {CUDA: second}}
        # An engine and a graph are made for one shape.
        if run.execution_provider == TENSORRT or options.get("enable_cuda_graph") == "1":
            job["dimensions"] = batch_dimensions(model, run.batch_size, samples.layout.inputs)
        return job
