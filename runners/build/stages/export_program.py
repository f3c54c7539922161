"""Stage "export-program": from a PyTorch model to a file that PyTorch itself runs (``.pt2``)."""

import warnings
from typing import Any

import torch
from torch import Tensor, nn

from paretune.runners.build.checkpoint import load_checkpoint
from paretune.runners.build.stages import StageInput, StageOutput
from paretune.runners.build.tracing import example_inputs, same_batch
from paretune.runners.failure import FailureKind, StageError

_DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16}


def run(given: StageInput) -> StageOutput:
    """Export with a dynamic batch axis, in the precision that ``params["quantization"]`` names."""
    model, _, _ = load_checkpoint(given.loaded, given.parent_file)
    dtype = _DTYPES.get(given.params["quantization"])
    if dtype is not None:
        model = _Cast(model, dtype)
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
    return StageOutput(path, {"size_bytes": float(path.stat().st_size)})


class _Cast(nn.Module):
    """Another precision inside; inputs and outputs stay fp32, like the caller's data."""

    def __init__(self, model: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.model, self.dtype = model.to(dtype), dtype

    def forward(self, *inputs: Tensor) -> Any:
        cast = (each.to(self.dtype) if each.is_floating_point() else each for each in inputs)
        return self.model(*cast).float()
