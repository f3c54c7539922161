"""Stage "import-model": the user's own ONNX file."""

from collections.abc import Mapping, Sequence

import onnx

from paretune.runners.build.stages import StageInput, StageOutput
from paretune.runners.failure import FailureKind, StageError
from paretune.runners.onnx_session import cpu_session
from paretune.runners.workload.onnx_files.normal_form import load_normal_form
from paretune.runners.workload.onnx_weights import external_files, save_onnx


def run(given: StageInput) -> StageOutput:
    """Keep the workload's model as it is, in normal form; weights from other files go into one.

    ``params["shapes"]``, if there are any, are the sizes of inputs to fix, by name; ``None`` stays
    free.
    """
    source = given.loaded.model_file
    if source is None:
        raise ValueError("this stage needs a workload whose model is an ONNX file")
    path = given.folder / "model.onnx"
    try:
        model = load_normal_form(source)
    except Exception as error:
        raise StageError(FailureKind.INVALID, f"{source} is not a valid model: {error}") from error
    _fix_shapes(model, given.params.get("shapes", {}))
    save_onnx(model, path, beside=bool(external_files(source)))
    try:
        onnx.checker.check_model(path)
    except Exception as error:
        # The checker refuses some files that runtimes run, such as an output without a shape.
        try:
            cpu_session(path)
        except Exception:
            message = f"{source} is not a valid model: {error}"
            raise StageError(FailureKind.INVALID, message) from error
    return StageOutput(path)


def _fix_shapes(model: onnx.ModelProto, shapes: Mapping[str, Sequence[int | None]]) -> None:
    """Fix the sizes of inputs, in place."""
    for value in model.graph.input:
        dimensions = value.type.tensor_type.shape.dim
        for dimension, size in zip(dimensions, shapes.get(value.name, ()), strict=False):
            if size is not None:
                dimension.dim_value = size
