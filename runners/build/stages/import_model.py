"""Stage "import-model": the user's own ONNX file, whole and in one piece."""

import onnx

from paretune.runners.failure import FailureKind, StageError
from paretune.runners.workload.model_file import external_files
from paretune.runners.build.stages import StageInput, StageOutput

_LARGEST_BYTES = 2**31 - 1


def run(given: StageInput) -> StageOutput:
    """Keep the workload's file as it is; weights that it keeps in other files are taken in."""
    source = given.loaded.model_file
    if source is None:
        raise ValueError("this stage needs a workload whose model is a file")
    path = given.folder / "model.onnx"
    try:
        size = sum(file.stat().st_size for file in [source, *external_files(source)])
        if size <= _LARGEST_BYTES:
            model = onnx.load(source)  # weights outside its folder are refused by onnx itself
            onnx.checker.check_model(model)
    except Exception as error:
        raise StageError(FailureKind.INVALID, f"{source} is not a valid model: {error}") from error
    if size > _LARGEST_BYTES:
        raise StageError(
            FailureKind.UNSUPPORTED,
            f"{source} is {size / 1e9:.1f} GB with its weights; one file holds 2 GB",
        )
    onnx.save(model, path, save_as_external_data=False)
    return StageOutput(path, {"size_bytes": float(path.stat().st_size)})
