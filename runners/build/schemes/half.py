"""Other precisions of floating point; half precision by ONNX Runtime's own tool."""

from collections.abc import Sequence
from pathlib import Path

import onnx

from paretune.runners.build.stages import StageInput
from paretune.runners.workload.onnx_weights import fits_one_file, save_onnx


def make(given: StageInput, path: Path, left_out: Sequence[str]) -> None:
    """Store weights and compute in fp16."""
    from onnxruntime.transformers.float16 import convert_float_to_float16

    model = onnx.load(given.parent_file)
    is_large = not fits_one_file(model)
    if is_large:
        # The tool would pass the model on in memory to infer shapes.
        aside = path.with_name("shapes.onnx")
        onnx.shape_inference.infer_shapes_path(given.parent_file, aside)
        inferred = onnx.load(aside, load_external_data=False)
        model.graph.value_info.extend(inferred.graph.value_info)
    # Inputs and outputs stay fp32: the caller's data does not change with the candidate.
    half = convert_float_to_float16(model, keep_io_types=True, disable_shape_infer=is_large)
    save_onnx(half, path)


def make_fp32(given: StageInput, path: Path, left_out: Sequence[str]) -> None:
    """Keep the file: it was cast when it was prepared for this stage."""
    save_onnx(onnx.load(given.parent_file), path)
