"""Stage "import-model": the user's own ONNX file, in a single file."""

import onnx

from paretune.runners.build.stages import StageInput, StageOutput
from paretune.runners.failure import FailureKind, StageError
from paretune.runners.workload.model_file import external_files

_LARGEST_BYTES = 2**31 - 1
"""The limit of one protobuf message, in bytes."""


def run(given: StageInput) -> StageOutput:
    """Keep the workload's file as it is, with weights from other files included."""
    source = given.loaded.model_file
    if source is None:
        raise ValueError("this stage needs a workload whose model is an ONNX file")
    path = given.folder / "model.onnx"
    try:
        size = sum(file.stat().st_size for file in [source, *external_files(source)])
        if size <= _LARGEST_BYTES:
            model = onnx.load(source)  # onnx itself refuses weights outside its folder
            onnx.checker.check_model(model)
    except Exception as error:
        raise StageError(FailureKind.INVALID, f"{source} is not a valid model: {error}") from error
    if size > _LARGEST_BYTES:
        raise StageError(
            FailureKind.UNSUPPORTED,
            f"{source} is {size / 1e9:.1f} GB with its weights, and a single ONNX file holds at "
            "most 2 GB",
        )
    onnx.save(model, path, save_as_external_data=False)
    return StageOutput(path, {"size_bytes": float(path.stat().st_size)})
