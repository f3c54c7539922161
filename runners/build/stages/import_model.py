"""Stage "import-model": the user's own ONNX file."""

import onnx

from paretune.runners.build.stages import StageInput, StageOutput
from paretune.runners.failure import FailureKind, StageError
from paretune.runners.workload.onnx_weights import external_files, save_onnx


def run(given: StageInput) -> StageOutput:
    """Keep the workload's model as it is; weights from other files go into one."""
    source = given.loaded.model_file
    if source is None:
        raise ValueError("this stage needs a workload whose model is an ONNX file")
    path = given.folder / "model.onnx"
    try:
        onnx.checker.check_model(source)
        model = onnx.load(source)  # onnx itself refuses weights outside its folder
    except Exception as error:
        raise StageError(FailureKind.INVALID, f"{source} is not a valid model: {error}") from error
    save_onnx(model, path, beside=bool(external_files(source)))
    return StageOutput(path)
