"""Stage "export-openvino": from an ONNX file to OpenVINO's own model."""

from pathlib import Path
from typing import Any

from paretune.runners.build.schemes.prepared import prepared
from paretune.runners.build.stages import StageInput, StageOutput
from paretune.runners.failure import FailureKind, StageError


def run(given: StageInput) -> StageOutput:
    """Convert the parent's file; inputs that never change become constants, where it is simpler.

    Weights stay in fp32.
    """
    openvino = import_openvino()
    ready = prepared(given.parent_file, given.folder, constants=given.params.get("constants"))
    try:
        model = openvino.Core().read_model(ready)
    except Exception as error:
        reason = [line for line in str(error).splitlines() if line.strip()][-1:]
        raise StageError(
            FailureKind.UNSUPPORTED, f"OpenVINO cannot convert the model: {' '.join(reason)}"
        ) from error
    path = given.folder / "model.xml"
    save_openvino(model, path)
    return StageOutput(path)


def save_openvino(model: Any, path: Path, *, is_half: bool = False) -> None:
    """Save a model; weights of floating point in 16 bits if ``is_half``, else as they are."""
    import_openvino().save_model(model, path, compress_to_fp16=is_half)


def import_openvino() -> Any:
    """Return OpenVINO's module, with its telemetry off.

    Raises:
        ImportError: If it is not installed.
    """
    from paretune.runners.telemetry import switch_off_telemetry

    switch_off_telemetry()
    import openvino

    return openvino
