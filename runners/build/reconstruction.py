"""What follows a pruned layer makes up for the channels that are gone.

A channel that was removed is nearly a linear combination of those that stay. The best one, by least
squares over samples, is folded into the weights that read it (He, Zhang and Sun, "Channel Pruning
for Accelerating Very Deep Neural Networks", 2017, https://arxiv.org/abs/1707.06168). It needs no
labels and no training.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
import torch_pruning
from torch import Tensor, nn

from paretune.runners.build.pruning import Pruned
from paretune.runners.build.tracing import Example, traced
from paretune.runners.workload.learning.forward import forward, on_device
from paretune.runners.workload.loaded import LoadedWorkload

_READERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)

_SAMPLES, _BATCH_SIZE = 512, 16
"""Samples that tell how channels depend on each other. Chosen by judgement."""

_MOST_CHANNELS = 4096
"""A layer that reads more is left alone: its matrix of moments would take over 64 MB."""

_RIDGE = 1e-3
"""Share of the mean squared input that is added to the diagonal, so that channels which are nearly
copies of each other do not get huge weights. Chosen by judgement.
"""


def train_inputs(loaded: LoadedWorkload) -> Iterator[dict[str, Tensor]]:
    """Yield inputs of some samples of the train split by name, on the CPU.

    They tell how a model's channels depend on each other; the recipe's seed draws them.
    """
    train, seed = loaded.data.train, loaded.workload.recipe().seed
    rows = np.random.default_rng(seed).permutation(len(train))[:_SAMPLES]
    for batch in train.batches(_BATCH_SIZE, rows):
        yield on_device(dict(batch.inputs), torch.device("cpu"))


def make_up(
    pruned: Pruned,
    fresh: Callable[[], nn.Module],
    example: Example,
    batches: Iterable[Mapping[str, Tensor]],
) -> None:
    """Let what reads the removed channels make up for them, in place.

    Args:
        pruned: The pruned model.
        fresh: Returns a new copy of the model before, in eval mode.
        example: Example inputs.
        batches: More inputs, which tell how its channels depend on each other.
    """
    original = fresh()
    kept = kept_channels(fresh(), pruned.history, example)
    reconstruct(original, pruned.model, kept, input_moments(original, batches))


def input_moments(model: nn.Module, batches: Iterable[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Return the second moments of the channels that each layer reads, by the layer's name.

    Args:
        model: The model in eval mode.
        batches: Inputs by name.

    Returns:
        Matrices of shape (channels, channels): sums over samples and positions.
    """
    found: dict[str, Tensor] = {}

    def watch(name: str, layer: nn.Module) -> Any:
        def see(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            if not inputs:
                return
            values = inputs[0].detach()
            if isinstance(layer, nn.Linear):
                rows = values.reshape(-1, values.shape[-1])
            else:
                rows = values.transpose(0, 1).flatten(1).T
            moments = rows.T @ rows
            found[name] = found[name] + moments if name in found else moments

        return layer.register_forward_pre_hook(see)

    hooks = [watch(name, layer) for name, layer in _readers(model).items()]
    try:
        with torch.no_grad():
            for batch in batches:
                forward(model, batch)
    finally:
        for hook in hooks:
            hook.remove()
    return found


def reconstruct(
    original: nn.Module,
    pruned: nn.Module,
    kept: Mapping[str, tuple[Tensor, Tensor]],
    moments: Mapping[str, Tensor],
) -> None:
    """Set the weights that read fewer channels, in place, so that their outputs change least.

    Args:
        original: The model before.
        pruned: The model without some channels.
        kept: The output and input channels of each layer that are left (:func:`kept_channels`).
        moments: Those of the original's inputs (:func:`input_moments`).
    """
    before, after = _readers(original), _readers(pruned)
    for name, (rows, columns) in kept.items():
        weight = before[name].weight.detach()
        if name not in moments or name not in after or len(columns) == weight.shape[1]:
            continue
        is_gone = torch.ones(weight.shape[1], dtype=torch.bool)
        is_gone[columns] = False
        given, read = moments[name].double(), weight[rows].double()
        among = given[columns][:, columns]
        ridge = _RIDGE * among.diagonal().mean() * torch.eye(len(columns), dtype=among.dtype)
        shares = torch.linalg.solve(among + ridge, given[columns][:, is_gone])
        folded = read[:, columns] + torch.einsum("rg...,kg->rk...", read[:, is_gone], shares)
        if folded.isfinite().all():
            with torch.no_grad():
                after[name].weight.copy_(folded)


def _readers(model: nn.Module) -> dict[str, Any]:
    """Return the layers whose weights can be folded, by name."""
    return {
        name: layer
        for name, layer in model.named_modules()
        if isinstance(layer, _READERS)
        and isinstance(layer._parameters.get("weight"), nn.Parameter)
        and getattr(layer, "groups", 1) == 1
        and layer.weight.shape[1] <= _MOST_CHANNELS
    }


def kept_channels(
    marked: nn.Module, history: list[Any], example: Example
) -> dict[str, tuple[Tensor, Tensor]]:
    """Return which output and input channels of each layer are left, by name.

    Args:
        marked: A copy of the model before. It is spoilt: every weight becomes its own place, and
            what is left after pruning tells which.
        history: Torch-Pruning's record of the channels that were removed.
        example: Example inputs.
    """
    graph = torch_pruning.DependencyGraph()
    graph.build_dependency(marked, example, forward_fn=traced)
    widths = {}
    for name, layer in _readers(marked).items():
        outputs, widths[name] = layer.weight.shape[:2]
        places = torch.arange(outputs * widths[name], dtype=torch.float64).view(outputs, -1)
        places = places.view(*places.shape, *[1] * (layer.weight.ndim - 2))
        layer.weight.data = places.expand(layer.weight.shape).clone()
    graph.load_pruning_history(history)
    found = {}
    for name, layer in marked.named_modules():
        if name in widths:
            places = layer.weight.detach().long().flatten(1)
            step = layer.weight[0, 0].numel()
            found[name] = places[:, 0] // widths[name], places[0, ::step] % widths[name]
    return found
