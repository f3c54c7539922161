"""Stage "export": from a PyTorch model to an ONNX file with a dynamic batch axis."""

import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import nn

from paretune.runners.build.checkpoint import load_checkpoint
from paretune.runners.build.export_check import CHECKED_SAMPLES, check_answers, export_reason
from paretune.runners.build.stages import StageInput, StageOutput
from paretune.runners.build.tracing import Example, Exported, dynamic_shapes, example_inputs
from paretune.runners.failure import FailureKind, StageError
from paretune.runners.onnx_session import cpu_session
from paretune.runners.workload.learning.forward import as_array, call, forward
from paretune.runners.workload.outputs import named_outputs

OPSET = 21
"""The lowest opset whose DequantizeLinear takes int4."""


def run(given: StageInput) -> StageOutput:
    """Export with the dynamo exporter and check that the file gives the model's outputs.

    Inputs and outputs have the names of the data's inputs and of the model's outputs.
    """
    loaded = given.loaded
    model, _, _ = load_checkpoint(loaded, given.parent_file)
    path, example = given.folder / "model.onnx", example_inputs(loaded)
    with torch.no_grad():
        outputs = call(model, example.tensors)
    names = list(named_outputs(outputs))
    is_plain = isinstance(outputs, torch.Tensor) and example.is_positional
    exported = model if is_plain else Exported(model, tuple(example.tensors))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                exported,
                tuple(example.tensors.values()),
                dynamo=True,
                dynamic_shapes=dynamic_shapes(exported, example, loaded.workload.dynamic_axes()),
                input_names=list(example.tensors),
                output_names=names,
                opset_version=OPSET,
                verbose=False,
            )
    except Exception as error:
        raise StageError(
            FailureKind.UNSUPPORTED,
            f"torch.onnx.export rejected the model: {export_reason(loaded.path, error)}",
        ) from error
    if program is None:
        raise StageError(FailureKind.UNSUPPORTED, "torch.onnx.export returned no program")
    program.save(path)  # with weights beside it if one file cannot hold them
    onnx.checker.check_model(path)
    _check(model, path, example_inputs(loaded, CHECKED_SAMPLES), names)
    return StageOutput(path)


def _check(model: nn.Module, path: Path, example: Example, names: list[str]) -> None:
    session = cpu_session(path)
    for each in session.get_inputs():
        if each.name in example.tensors and each.shape and isinstance(each.shape[0], int):
            raise StageError(
                FailureKind.UNSUPPORTED,
                f"the exported file takes batches of {each.shape[0]} only, because forward() fixes "
                "the batch: by len(x), int(x.shape[0]) or a view with a number; use x.shape[0]",
            )
    feed = {
        each.name: example.tensors[each.name].numpy()
        for each in session.get_inputs()  # an input that changes no output has left the graph
        if each.name in example.tensors
    }
    got = dict(zip(names, map(np.asarray, session.run(names, feed)), strict=True))
    with torch.no_grad():
        right = forward(model, example.tensors)
    check_answers({name: as_array(each) for name, each in right.items()}, got)
