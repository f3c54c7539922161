"""Stage "export-program": from a PyTorch model to a file that PyTorch itself runs (``.pt2``)."""

import warnings
from typing import Any

import torch
from torch import Tensor, nn

from paretune.runners.build.checkpoint import load_checkpoint
from paretune.runners.build.stages import StageInput, StageOutput
from paretune.runners.build.tracing import example_inputs, same_batch
from paretune.runners.failure import FailureKind, StageError


def run(given: StageInput) -> StageOutput:
    """Export with a dynamic batch axis, in the precision that ``params["quantization"]`` names."""
    model, _, _ = load_checkpoint(given.loaded, given.parent_file)
    if given.params["quantization"] == "fp16":
        model = _Half(model)
    path, inputs = given.folder / "model.pt2", example_inputs(given.loaded)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.export.export(
                model,
                inputs,
                dynamic_shapes=same_batch(model, inputs),
            )
            torch.export.save(program, path)
    except Exception as error:
        raise StageError(
            FailureKind.UNSUPPORTED, f"torch.export rejected the model: {error}"
        ) from error
    return StageOutput(path)


class _Half(nn.Module):
    """Half precision inside; inputs and outputs stay fp32, like the caller's data."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model.half()

    def forward(self, *inputs: Tensor) -> Any:
        halves = (each.half() if each.is_floating_point() else each for each in inputs)
        return self.model(*halves).float()
