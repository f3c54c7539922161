"""Stage "prune": removes whole channels and heads, so that the exported model is smaller.

Structured pruning by the L2 norm of channel groups (Li et al., "Pruning Filters for Efficient
ConvNets", 2017, https://arxiv.org/abs/1608.08710), with the groups found by Torch-Pruning (Fang et
al., "DepGraph: Towards Any Structural Pruning", 2023, https://arxiv.org/abs/2301.12900).
"""

import torch_pruning
from torch import nn

from paretune.runners.build.checkpoint import load_checkpoint, save_checkpoint
from paretune.runners.build.stages import StageInput, StageOutput
from paretune.runners.build.tracing import call, example_inputs
from paretune.runners.failure import FailureKind, StageError


def run(given: StageInput) -> StageOutput:
    """Remove ``params["pruning_ratio"]`` of each layer's channels, and of its heads if it has any.

    The number of remaining channels is a multiple of the recipe's ``width_multiple``.
    """
    loaded, ratio = given.loaded, given.params["pruning_ratio"]
    model, student, history = load_checkpoint(loaded, given.parent_file)
    multiple = loaded.workload.recipe().width_multiple
    heads = dict(loaded.workload.attention_heads(model))
    before = _parameters(model)
    pruner = torch_pruning.pruner.MagnitudePruner(
        model,
        example_inputs(loaded),
        forward_fn=call,
        importance=torch_pruning.importance.MagnitudeImportance(p=2),
        pruning_ratio=ratio,
        round_to=multiple,
        num_heads=heads,
        prune_num_heads=bool(heads),
        prune_head_dims=not heads,
        head_pruning_ratio=ratio if heads else 0.0,
        ignored_layers=[*_output_layers(model), *loaded.workload.keep_layers(model)],
    )
    pruner.step()
    after = _parameters(model)
    if after == before:
        raise StageError(
            FailureKind.INVALID,
            f"pruning {ratio:g} of {student!r} removes no channel, because its widths are kept to "
            f"multiples of {multiple}; use a higher ratio or a smaller recipe width_multiple",
        )
    path = given.folder / "pruned.safetensors"
    save_checkpoint(model, path, student=student, pruning=history + pruner.pruning_history())
    return StageOutput(path, {"parameters_before": before, "parameters_after": after})


def _parameters(model: nn.Module) -> float:
    return float(sum(parameter.numel() for parameter in model.parameters()))


def _output_layers(model: nn.Module) -> list[nn.Module]:
    """Return the layer that computes the model's outputs: the last one with its own weights."""
    layers: list[nn.Module] = [
        m for m in model.modules() if isinstance(m, nn.Linear | nn.modules.conv._ConvNd)
    ]
    return layers[-1:]
