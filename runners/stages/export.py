"""Stage "export": from a PyTorch model to an ONNX file with a dynamic batch axis."""

import warnings

import numpy as np
import onnx
import onnxruntime
import torch

from runners.checkpoint import example_inputs, load_checkpoint
from runners.failure import FailureKind, StageError
from runners.stages import StageInput, StageOutput

OPSET = 21
"""The first opset whose DequantizeLinear takes int4."""

_CHECKED_SAMPLES = 8


def run(given: StageInput) -> StageOutput:
    """Export with the dynamo exporter and check that the file gives the model's own answers."""
    model, _, _ = load_checkpoint(given.loaded, given.parent_file)
    path = given.folder / "model.onnx"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                model,
                (example_inputs(given.loaded),),
                dynamo=True,
                dynamic_shapes=({0: torch.export.Dim("batch")},),
                input_names=["input"],
                output_names=["output"],
                opset_version=OPSET,
                verbose=False,
            )
    except Exception as error:
        raise StageError(
            FailureKind.UNSUPPORTED, f"torch.onnx.export rejects the model: {error}"
        ) from error
    if program is None:
        raise StageError(FailureKind.UNSUPPORTED, "torch.onnx.export gave no program")
    program.save(path, external_data=False)
    onnx.checker.check_model(path)
    _check_answers(given, model, str(path))
    return StageOutput(path, {"size_bytes": float(path.stat().st_size)})


def _check_answers(given: StageInput, model: torch.nn.Module, path: str) -> None:
    inputs = given.loaded.data.train.inputs[:_CHECKED_SAMPLES]
    with torch.inference_mode():
        expected = model(torch.from_numpy(inputs)).numpy()
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    got = np.asarray(session.run(["output"], {"input": inputs})[0])
    scale = max(float(np.abs(expected).max()), 1e-6)
    error = float(np.abs(got - expected).max()) / scale
    if not error < 1e-3:
        raise StageError(
            FailureKind.INVALID,
            f"the exported file does not give the model's answers: largest difference {error:.1e} "
            f"of the largest output; look for control flow or randomness in forward()",
        )
