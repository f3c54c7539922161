"""Stage "export": from a PyTorch model to an ONNX file with a dynamic batch axis."""

import warnings
from pathlib import Path

import numpy as np
import onnx
import torch

from paretune.runners.build.checkpoint import load_checkpoint
from paretune.runners.build.stages import StageInput, StageOutput
from paretune.runners.build.tracing import example_inputs, same_batch
from paretune.runners.failure import FailureKind, StageError
from paretune.runners.onnx_session import cpu_session

OPSET = 21
"""The lowest opset whose DequantizeLinear takes int4."""

_CHECKED_SAMPLES = 8
"""Samples on which the exported file must answer as the model does. Chosen by judgement."""


def run(given: StageInput) -> StageOutput:
    """Export with the dynamo exporter and check that the file gives the model's outputs."""
    model, _, _ = load_checkpoint(given.loaded, given.parent_file)
    path, inputs = given.folder / "model.onnx", example_inputs(given.loaded)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                model,
                inputs,
                dynamo=True,
                dynamic_shapes=same_batch(model, inputs),
                input_names=_input_names(len(inputs)),
                output_names=["output"],
                opset_version=OPSET,
                verbose=False,
            )
    except Exception as error:
        raise StageError(
            FailureKind.UNSUPPORTED, f"torch.onnx.export rejected the model: {error}"
        ) from error
    if program is None:
        raise StageError(FailureKind.UNSUPPORTED, "torch.onnx.export returned no program")
    program.save(path)  # with weights beside it if one file cannot hold them
    onnx.checker.check_model(path)
    _check_answers(given, model, path)
    return StageOutput(path)


def _input_names(count: int) -> list[str]:
    return ["input", *(f"input_{place}" for place in range(1, count))]


def _check_answers(given: StageInput, model: torch.nn.Module, path: Path) -> None:
    arrays = [array[:_CHECKED_SAMPLES] for array in given.loaded.data.train.all_inputs]
    with torch.inference_mode():
        expected = model(*map(torch.from_numpy, arrays)).numpy()
    feed = dict(zip(_input_names(len(arrays)), arrays, strict=True))
    session = cpu_session(path)
    got = np.asarray(session.run(["output"], feed)[0])
    scale = max(float(np.abs(expected).max()), 1e-6)
    error = float(np.abs(got - expected).max()) / scale
    if not error < 1e-3:
        raise StageError(
            FailureKind.INVALID,
            "the exported file and the model give different outputs: largest difference "
            f"{error:.1e} of the largest output; look for control flow or randomness in forward()",
        )
