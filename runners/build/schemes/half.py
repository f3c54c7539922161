"""Half precision, by ONNX Runtime's own tool."""

from collections.abc import Sequence
from pathlib import Path

import onnx

from paretune.runners.build.stages import StageInput
from paretune.runners.workload.onnx_weights import save_onnx


def make(given: StageInput, path: Path, left_out: Sequence[str]) -> None:
    """Store weights and compute in fp16."""
    from onnxruntime.transformers.float16 import convert_float_to_float16

    # Inputs and outputs stay fp32: the caller's data does not change with the candidate.
    model = convert_float_to_float16(onnx.load(given.parent_file), keep_io_types=True)
    save_onnx(model, path)
