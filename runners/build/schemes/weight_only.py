"""Weights in 8 or 4 bits, by NNCF; activations stay fp32."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nncf
import onnx

from paretune.runners.build.schemes.placement.layers import constants
from paretune.runners.build.schemes.weight_groups import GROUP, is_better_grouped
from paretune.runners.build.stages import StageInput
from paretune.runners.workload.onnx_weights import check_fits_one_file, save_onnx


def make_int8(given: StageInput, path: Path, left_out: Sequence[str]) -> None:
    """Store weights in 8 bits, with a scale per output channel."""
    _compress_weights(given, path, left_out, mode=nncf.CompressWeightsMode.INT8_SYM)


def make_int4(given: StageInput, path: Path, left_out: Sequence[str]) -> None:
    """Store weights in 4 bits, with a scale per group of 32 where that is faster."""
    # ONNX Runtime rejects group-wise scales on a Gemm, and fuses only group-wise ones of a MatMul.
    model = onnx.load(given.parent_file)
    grouped = is_better_grouped(model, constants(model))
    _compress_weights(
        given,
        path,
        left_out,
        ["Gemm"] if grouped else [],
        mode=nncf.CompressWeightsMode.INT4_SYM,
        ratio=1.0,
        group_size=GROUP if grouped else -1,
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
    check_fits_one_file(model)
    save_onnx(nncf.compress_weights(model, ignored_scope=ignored, **options), path)
