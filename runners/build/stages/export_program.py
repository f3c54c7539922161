"""Stage "export-program": from a PyTorch model to a file that PyTorch itself runs (``.pt2``)."""

import copy
import warnings

import torch

from paretune.runners.build.checkpoint import load_checkpoint
from paretune.runners.build.export_check import CHECKED_SAMPLES, check_answers, export_reason
from paretune.runners.build.stages import StageInput, StageOutput
from paretune.runners.build.tracing import Exported, dynamic_shapes, example_inputs
from paretune.runners.failure import FailureKind, StageError
from paretune.runners.workload.learning.forward import as_array, call, forward
from paretune.runners.workload.outputs import named_outputs

_DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16}

_LIMITS = {"fp16": 0.05, "bf16": 0.2}
"""Largest differences from the model in fp32 that precision explains, as a share of the largest
output. Untested.
"""


def run(given: StageInput) -> StageOutput:
    """Export with a dynamic batch axis, in the precision that ``params["quantization"]`` names.

    The file must give the model's outputs.
    """
    loaded, precision = given.loaded, given.params["quantization"]
    model, _, _ = load_checkpoint(loaded, given.parent_file)
    path, example = given.folder / "model.pt2", example_inputs(loaded)
    with torch.no_grad():
        outputs = call(model, example.tensors)
    dtype = _DTYPES.get(precision)
    exported = model
    if dtype is not None or not example.is_positional or not isinstance(outputs, torch.Tensor):
        exported = Exported(copy.deepcopy(model), tuple(example.tensors), dtype)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.export.export(
                exported,
                tuple(example.tensors.values()),
                dynamic_shapes=dynamic_shapes(exported, example, loaded.workload.dynamic_axes()),
            )
            torch.export.save(program, path)
    except Exception as error:
        raise StageError(
            FailureKind.UNSUPPORTED,
            f"torch.export rejected the model: {export_reason(loaded.path, error)}",
        ) from error
    several = example_inputs(loaded, CHECKED_SAMPLES)
    with torch.no_grad():
        right = forward(model, several.tensors)
        got = named_outputs(program.module()(*several.tensors.values()))
    check_answers(
        {name: as_array(each) for name, each in right.items()},
        {name: as_array(each) for name, each in got.items()},
        _LIMITS.get(precision, 1e-3),
    )
    return StageOutput(path)
