"""Stage "quantize": fewer bits for weights, and for activations where the scheme says so."""

from paretune.runners.build.stages import StageInput, StageOutput
from paretune.runners.failure import FailureKind, StageError
from paretune.runners.formats import FORMATS
from paretune.spaces import SCHEMES, resolve


def run(given: StageInput) -> StageOutput:
    """Quantize the parent's file by ``params["quantization"]``.

    ``params["format"]`` is the file's format, if it is not ONNX.
    """
    scheme = SCHEMES.get(given.params["quantization"])
    made = FORMATS.get(given.params.get("format", "onnx"))
    if made.quantize is not None:
        output: StageOutput = resolve(made.quantize)(given, scheme)
        return output
    maker = made.maker_of(scheme)
    if maker is None:
        message = f"{scheme.name} is not made for {made.words}"
        raise StageError(FailureKind.UNSUPPORTED, message)
    path = given.folder / made.file
    resolve(maker)(given, path, ())
    return StageOutput(path)
