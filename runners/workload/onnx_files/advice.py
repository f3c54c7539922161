"""Advice about an ONNX file whose answers cannot be judged sample by sample."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import onnx

from paretune.runners.workload.model_file import model_inputs
from paretune.runners.workload.onnx_files.layout import Layout

_PASSING = ("Identity", "Cast", "Squeeze", "Unsqueeze", "Gather", "Slice", "Reshape", "Transpose")
"""Operators behind the one that decides how many rows an output has."""


def command_to_cut(model: Path, inputs: Sequence[str], output: str) -> str:
    """Return a command that cuts a model before the operator that decides an output's rows.

    Args:
        model: The ONNX file.
        inputs: The names of its inputs.
        output: The name of the output.
    """
    graph = onnx.load(model, load_external_data=False).graph
    constants = {tensor.name for tensor in graph.initializer}
    constants |= {n.output[0] for n in graph.node if n.op_type == "Constant"}
    made = {name: node for node in graph.node for name in node.output}
    node = made.get(output)
    while node is not None and node.op_type in _PASSING and node.input[0] in made:
        node = made[node.input[0]]
    names = [name for name in (node.input if node else ()) if name and name not in constants]
    return (
        f"`onnx.utils.extract_model({model.name!r}, 'before.onnx', {inputs}, {names})` writes the "
        f"model without its {node.op_type if node else 'end'}"
    )


def suspect(model: Path, layout: Layout) -> str:
    """Return what may be the reason that a model's samples depend on each other.

    Args:
        model: The ONNX file.
        layout: Which axis of each input was taken for the batch.
    """
    for each in model_inputs(model):
        axis = layout.inputs.get(each.name)
        named = [place for place, size in enumerate(each.shape) if _names_batch(size)]
        if named and axis not in named:
            first, other = each.shape[axis or 0], each.shape[named[0]]
            called = f" (it is called {first!r}; {other!r} is axis {named[0]})"
            return (
                f"The first axis of {each.name!r} is not the batch{called}: add "
                f"--batch-axis {each.name}={named[0]}"
            )
    for node in onnx.load(model, load_external_data=False).graph.node:
        training = [each.i for each in node.attribute if each.name == "training_mode"]
        if node.op_type == "BatchNormalization" and any(training):
            return (
                f"{node.name or 'BatchNormalization'} is in training mode: export the model "
                "after model.eval()"
            )
    return (
        "The first axis of an input may not be the batch (then add --batch-axis NAME=AXIS), or "
        "an operator mixes samples: export the model so that each sample has its own answer"
    )


def _names_batch(size: int | str) -> bool:
    return isinstance(size, str) and size.lower() in ("batch", "batch_size", "batchsize", "n", "bs")
