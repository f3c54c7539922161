"""Dynamic int8, by ONNX Runtime's own tool."""

from collections.abc import Sequence
from pathlib import Path

import onnx

from paretune.runners.build.schemes.integer_sums import has_narrow_sums
from paretune.runners.build.schemes.placement.layers import WITH_WEIGHTS
from paretune.runners.build.stages import StageInput
from paretune.runners.workload.onnx_weights import fits_one_file, save_onnx


def make(given: StageInput, path: Path, left_out: Sequence[str]) -> None:
    """Quantize matrix products; the ranges of their inputs are found in every call.

    Weights have a scale per output channel, activations one per call.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    model = onnx.load(given.parent_file)
    # Convolutions stay fp32: ConvInteger was measured to be 2 to 5 times slower than Conv.
    aside = path.with_name("dynamic_int8.onnx")
    quantize_dynamic(
        model,  # given a path, it would write beside it: into the store
        aside,
        op_types_to_quantize=list(WITH_WEIGHTS),
        weight_type=QuantType.QInt8,
        per_channel=True,
        # Without VNNI, pairs of 8-bit products are summed in 16 bits, which overflow: weights of 7
        # bits never do.
        reduce_range=has_narrow_sums(),
        use_external_data_format=not fits_one_file(model),
        # It turns a Gemm into a MatMul with another name first.
        nodes_to_exclude=[*left_out, *(f"{name}_MatMul" for name in left_out)],
    )
    save_onnx(onnx.load(aside), path)
