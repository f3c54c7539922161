"""Stage "quantize": fewer bits for weights, and for activations where the scheme says so.

Static int8 and weight-only come from NNCF, dynamic int8 and fp16 from ONNX Runtime's own tools.
"""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nncf
import onnx

from runners.failure import FailureKind, StageError
from runners.stages import StageInput, StageOutput
from spaces import Quantization

_WITH_WEIGHTS = ("MatMul", "Gemm")
_CALIBRATION_SAMPLES = 300


def run(given: StageInput) -> StageOutput:
    """Quantize the parent's ONNX file by ``params["quantization"]``."""
    quantization = Quantization(given.params["quantization"])
    path = given.folder / "model.onnx"
    before = _operators(given.parent_file)
    _BY_SCHEME[quantization](given, path)
    if _operators(path) == before:
        raise StageError(
            FailureKind.UNSUPPORTED,
            f"{quantization} found nothing to quantize among the model's operators "
            f"({', '.join(sorted(before))})"
            + (
                f": it needs {' or '.join(_WITH_WEIGHTS)} with constant weights"
                if quantization.mode in ("dynamic", "weight")
                else ""
            ),
        )
    return StageOutput(path, {"size_bytes": float(path.stat().st_size)})


def _half(given: StageInput, path: Path) -> None:
    from onnxruntime.transformers.float16 import convert_float_to_float16

    # Inputs and outputs stay fp32: the caller's data does not change with the candidate.
    model = convert_float_to_float16(onnx.load(given.parent_file), keep_io_types=True)
    onnx.save(model, path)


def _static_int8(given: StageInput, path: Path) -> None:
    inputs = given.loaded.data.calibration.inputs[:_CALIBRATION_SAMPLES]
    model = onnx.load(given.parent_file)
    name = model.graph.input[0].name
    samples = nncf.Dataset([inputs[i : i + 1] for i in range(len(inputs))], lambda x: {name: x})
    onnx.save(nncf.quantize(model, samples, subset_size=len(inputs)), path)


def _dynamic_int8(given: StageInput, path: Path) -> None:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    # Convolutions stay fp32: ConvInteger was 2 to 5 times slower than Conv where it was measured.
    quantize_dynamic(
        given.parent_file,
        path,
        op_types_to_quantize=list(_WITH_WEIGHTS),
        weight_type=QuantType.QInt8,
    )


def _weight_int8(given: StageInput, path: Path) -> None:
    _compress_weights(given, path, mode=nncf.CompressWeightsMode.INT8_SYM)


def _weight_int4(given: StageInput, path: Path) -> None:
    # ONNX Runtime rejects group-wise scales on a Gemm, and fuses only group-wise ones of a MatMul.
    group_size = -1 if "Gemm" in _operators(given.parent_file) else 32
    _compress_weights(
        given,
        path,
        mode=nncf.CompressWeightsMode.INT4_SYM,
        ratio=1.0,
        group_size=group_size,
        all_layers=True,
    )


def _compress_weights(given: StageInput, path: Path, **options: Any) -> None:
    # ONNX Runtime's CPU provider rejects the 4-D scale that NNCF gives a convolution's weight.
    convolutions = nncf.IgnoredScope(types=["Conv", "ConvTranspose"], validate=False)
    model = onnx.load(given.parent_file)
    onnx.save(nncf.compress_weights(model, ignored_scope=convolutions, **options), path)


def _operators(path: Path) -> Counter[str]:
    graph = onnx.load(path, load_external_data=False).graph
    return Counter(node.op_type for node in graph.node)


_BY_SCHEME: dict[Quantization, Callable[[StageInput, Path], None]] = {
    Quantization.FP16: _half,
    Quantization.INT8_STATIC: _static_int8,
    Quantization.INT8_DYNAMIC: _dynamic_int8,
    Quantization.INT8_WEIGHT: _weight_int8,
    Quantization.INT4_WEIGHT: _weight_int4,
}
