"""Stage "quantize": fewer bits for weights, and for activations where the scheme says so.

Static int8 and weight-only come from NNCF, dynamic int8 and fp16 from ONNX Runtime's own tools.
"""

import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import nncf
import numpy as np
import onnx
import onnx.version_converter
from numpy.typing import NDArray

from paretune.runners.build.stages import StageInput, StageOutput
from paretune.runners.build.stages.sensitivity import constants, most_sensitive
from paretune.runners.build.stages.static_int8 import static_int8
from paretune.runners.failure import FailureKind, StageError
from paretune.runners.workload.model_file import CALIBRATION, FP32_LAYERS, fixed_batch, model_inputs
from paretune.spaces import Quantization

_WITH_WEIGHTS = ("MatMul", "Gemm")
_CALIBRATION_SAMPLES = 300
_GROUP = 32
_OF_QUANTIZED = (
    "QuantizeLinear",
    "DequantizeLinear",
    "QLinearConv",
    "MatMulInteger",
    "MatMulNBits",
)
# The first opsets whose DequantizeLinear takes one scale per channel, and int4.
_OPSETS = {Quantization.INT4_WEIGHT: 21, Quantization.INT8_WEIGHT: 13, Quantization.INT8_STATIC: 13}


def run(given: StageInput) -> StageOutput:
    """Quantize the parent's ONNX file by ``params["quantization"]``.

    ``params["fp32_layer_share"]``, if there is one, is the share of the layers left in fp32; their
    names are stored in the file's metadata.
    """
    quantization = Quantization(given.params["quantization"])
    path = given.folder / "model.onnx"
    given = replace(given, parent=_prepared(given, _OPSETS.get(quantization, 0)))
    graph = onnx.load(given.parent_file).graph
    before = Counter(node.op_type for node in graph.node)
    if there := [operator for operator in _OF_QUANTIZED if operator in before]:
        raise StageError(
            FailureKind.UNSUPPORTED, f"the model is already quantized: it has {', '.join(there)}"
        )
    if _is_half(graph):
        raise StageError(
            FailureKind.UNSUPPORTED,
            "the model's weights are in fp16, but all schemes start from fp32: export it in fp32",
        )
    left_out = _left_out(given, quantization)
    try:
        _BY_SCHEME[quantization](given, path, left_out)
    except (StageError, MemoryError, ImportError, OSError):
        raise
    except Exception as error:
        traceback.print_exc()
        raise StageError(
            FailureKind.UNSUPPORTED, f"{quantization} cannot be applied: {error}"
        ) from error
    if _operators(path) == before:
        raise StageError(FailureKind.UNSUPPORTED, _nothing_found(quantization, before, left_out))
    if left_out:
        model = onnx.load(path)
        model.metadata_props.add(key=FP32_LAYERS, value="\n".join(left_out))
        onnx.save(model, path)
    return StageOutput(path, {"size_bytes": float(path.stat().st_size)})


def _nothing_found(
    quantization: Quantization, operators: Counter[str], left_out: Sequence[str]
) -> str:
    if left_out:
        return f"all {len(left_out)} layers that {quantization} quantizes would be left in fp32"
    needs = f": it needs {' or '.join(_WITH_WEIGHTS)} with constant weights"
    return (
        f"{quantization} finds nothing to quantize among the model's operators "
        f"({', '.join(sorted(operators))})"
        + (needs if quantization.mode in ("dynamic", "weight") else "")
    )


def _left_out(given: StageInput, quantization: Quantization) -> list[str]:
    """Return the names of the layers to leave in fp32."""
    share = given.params.get("fp32_layer_share", 0.0)
    if not share:
        return []
    return most_sensitive(
        onnx.load(given.parent_file), _calibration_feeds(given), share, quantization
    )


def _half(given: StageInput, path: Path, left_out: Sequence[str]) -> None:
    from onnxruntime.transformers.float16 import convert_float_to_float16

    # Inputs and outputs stay fp32: the caller's data does not change with the candidate.
    model = convert_float_to_float16(onnx.load(given.parent_file), keep_io_types=True)
    onnx.save(model, path)


def _static_int8(given: StageInput, path: Path, left_out: Sequence[str]) -> None:
    model = onnx.load(given.parent_file)
    quantized, way = static_int8(model, _calibration_feeds(given), left_out)
    quantized.metadata_props.add(key=CALIBRATION, value=way)
    onnx.save(quantized, path)


def _calibration_feeds(given: StageInput) -> list[dict[str, NDArray[Any]]]:
    """Return calibration inputs, one sample at a time, or one batch if the model fixes its size."""
    names = [each.name for each in model_inputs(given.parent_file)]
    arrays = [a[:_CALIBRATION_SAMPLES] for a in given.loaded.data.calibration.all_inputs]
    size, samples = fixed_batch(given.parent_file) or 1, len(arrays[0])
    turns = [np.arange(start, start + size) % samples for start in range(0, samples, size)]
    return [dict(zip(names, (array[rows] for array in arrays), strict=True)) for rows in turns]


def _dynamic_int8(given: StageInput, path: Path, left_out: Sequence[str]) -> None:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    # Convolutions stay fp32: ConvInteger was measured to be 2 to 5 times slower than Conv.
    quantize_dynamic(
        given.parent_file,
        path,
        op_types_to_quantize=list(_WITH_WEIGHTS),
        weight_type=QuantType.QInt8,
        # It turns a Gemm into a MatMul with another name first.
        nodes_to_exclude=[*left_out, *(f"{name}_MatMul" for name in left_out)],
    )


def _weight_int8(given: StageInput, path: Path, left_out: Sequence[str]) -> None:
    _compress_weights(given, path, left_out, mode=nncf.CompressWeightsMode.INT8_SYM)


def _weight_int4(given: StageInput, path: Path, left_out: Sequence[str]) -> None:
    # ONNX Runtime rejects group-wise scales on a Gemm, and fuses only group-wise ones of a MatMul.
    grouped = _is_better_grouped(given.parent_file)
    _compress_weights(
        given,
        path,
        left_out,
        ["Gemm"] if grouped else [],
        mode=nncf.CompressWeightsMode.INT4_SYM,
        ratio=1.0,
        group_size=_GROUP if grouped else -1,
        all_layers=True,
    )


def _compress_weights(
    given: StageInput,
    path: Path,
    left_out: Sequence[str],
    left_types: Sequence[str] = (),
    **options: Any,
) -> None:
    # ONNX Runtime's CPU provider rejects the 4-D scale that NNCF gives a convolution's weight, and
    # would turn an embedding's whole table back into fp32 in every call.
    kept = ["Conv", "ConvTranspose", "Gather", *left_types]
    ignored = nncf.IgnoredScope(names=list(left_out), types=kept, validate=False)
    model = onnx.load(given.parent_file)
    onnx.save(nncf.compress_weights(model, ignored_scope=ignored, **options), path)


def _prepared(given: StageInput, least_opset: int) -> Path:
    """Return the parent's file as the tools need it: unique node names, and a recent opset.

    A file that already meets this is returned unchanged.
    """
    model = onnx.load(given.parent_file)
    before = model.SerializeToString()
    # NNCF takes the first opset for that of ONNX's own operators.
    opsets = sorted(model.opset_import, key=lambda each: each.domain not in ("", "ai.onnx"))
    del model.opset_import[:]
    model.opset_import.extend(opsets)
    opset = opsets[0].version
    if opset < least_opset:
        try:
            model = onnx.version_converter.convert_version(model, least_opset)
            onnx.checker.check_model(model)
        except Exception as error:
            raise StageError(
                FailureKind.UNSUPPORTED,
                f"it needs opset {least_opset}, but the model has opset {opset} and cannot be "
                f"converted: {error}",
            ) from error
    taken: set[str] = set()
    for place, node in enumerate(model.graph.node):
        if not node.name or node.name in taken:
            node.name = f"{node.op_type}_{place}_{node.output[0]}"
        taken.add(node.name)
    if model.SerializeToString() == before:
        return given.parent_file
    path = given.folder / "prepared.onnx"
    onnx.save(model, path)
    return path


def _is_half(graph: onnx.GraphProto) -> bool:
    """Tell whether most of a model's weights are in fp16."""
    kinds = Counter(tensor.data_type for tensor in graph.initializer)
    return kinds[onnx.TensorProto.FLOAT16] > kinds[onnx.TensorProto.FLOAT]


def _is_better_grouped(path: Path) -> bool:
    """Tell whether most int4 weights could have one scale per group: MatMuls of fitting width."""
    model = onnx.load(path)
    weights, sizes = constants(model), Counter[str]()
    for node in model.graph.node:
        if node.op_type in _WITH_WEIGHTS and node.input[1] in weights:
            weight = weights[node.input[1]]
            if node.op_type == "MatMul" and weight.shape[-2] % _GROUP:
                return False
            sizes[node.op_type] += weight.size
    return sizes["MatMul"] > sizes["Gemm"]


def _operators(path: Path) -> Counter[str]:
    graph = onnx.load(path, load_external_data=False).graph
    return Counter(node.op_type for node in graph.node)


_BY_SCHEME: dict[Quantization, Callable[[StageInput, Path, Sequence[str]], None]] = {
    Quantization.FP16: _half,
    Quantization.INT8_STATIC: _static_int8,
    Quantization.INT8_DYNAMIC: _dynamic_int8,
    Quantization.INT8_WEIGHT: _weight_int8,
    Quantization.INT4_WEIGHT: _weight_int4,
}
