"""Structured pruning that keeps a model running: what cannot lose channels is found by trying.

Channel groups are found by Torch-Pruning (Fang et al., "DepGraph: Towards Any Structural Pruning",
2023, https://arxiv.org/abs/2301.12900) and ranked by their L2 norm (Li et al., "Pruning Filters for
Efficient ConvNets", 2017, https://arxiv.org/abs/1608.08710). A dependency graph does not see every
tie between layers: a shortcut padded by a fixed number, a fused projection that ``forward``
reshapes by a number of its own, an LSTM. So a pruned model is run; if it fails, the groups to blame
are found by halving, and left as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch_pruning
from torch import Tensor, nn

from paretune.runners.build.tracing import Example, traced
from paretune.runners.workload.learning.forward import call, forward
from paretune.runners.workload.outputs import named_outputs

_FEWEST_PARTS = 4
"""A layer keeps a multiple of at most this fraction of its channels, so that on narrow layers, too,
ratios of a quarter can be told apart. Chosen by judgement.
"""

_LAYERS = (nn.Linear, nn.modules.conv._ConvNd, nn.LSTM, nn.GRU, nn.RNN, nn.MultiheadAttention)
_MATRIX_STEPS = ("Addmm", "Mm", "Bmm", "Baddbmm", "Convolution", "Linear", "Rnn")
_LONGEST_WEIGHT_BRANCH = 16
"""Steps of autograd between a weight and the operator that uses it: views and weight norm."""


@dataclass(frozen=True)
class Pruned:
    """A pruned model.

    Attributes:
        model: The model.
        history: Torch-Pruning's record of the channels that were removed.
        kept_whole: The names of layers that were left as they are, because the model does not run
            without one of their channels.
        reason: What the model said then.
    """

    model: nn.Module
    history: list[Any]
    kept_whole: tuple[str, ...] = ()
    reason: str = ""


@dataclass(frozen=True)
class Pruning:
    """A way to prune copies of one model.

    Attributes:
        fresh: Returns a new copy of the model, in eval mode.
        example: Example inputs.
        ratio: Share of the channels of each layer to remove, and of its heads.
        multiple: Layers keep a multiple of this many channels, or of a quarter of what they have.
        kept: Returns layers whose outputs must not change.
        heads: Returns the number of heads per attention projection.
    """

    fresh: Callable[[], nn.Module]
    example: Example
    ratio: float
    multiple: int
    kept: Callable[[nn.Module], Sequence[nn.Module]]
    heads: Callable[[nn.Module], Mapping[nn.Module, int]]

    def run(self) -> Pruned:
        """Prune as many groups as the model runs without.

        Raises:
            Exception: What Torch-Pruning says, if it cannot even look for groups.
        """
        pruned, reason = self._attempt(frozenset())
        if pruned is not None:
            return pruned
        groups = self._groups()
        left = self._to_blame(groups, groups)
        names = frozenset(name for group in left for name in group)
        pruned, again = self._attempt(names)
        if pruned is None:  # they fail together only
            names = frozenset(name for group in groups for name in group)
            pruned = Pruned(self.fresh(), [])
            reason = again
        told = tuple(sorted(group[0] for group in groups if set(group) <= names))
        return Pruned(pruned.model, pruned.history, told, str(reason))

    def _attempt(self, kept_whole: frozenset[str]) -> tuple[Pruned | None, Exception | None]:
        """Return the model pruned but for some layers, or the error if it does not run."""
        model = self.fresh()
        try:
            expected = self._shapes(model)
            pruner = self._pruner(model, kept_whole)
            pruner.step()
            found = self._shapes(model)
            if found != expected:
                raise ValueError(f"its outputs have the shapes {found}, not {expected}")
        except Exception as error:
            return None, error
        return Pruned(model, pruner.pruning_history()), None

    def _shapes(self, model: nn.Module) -> dict[str, torch.Size]:
        return {name: each.shape for name, each in forward(model, self.example.tensors).items()}

    def _to_blame(
        self, groups: Sequence[tuple[str, ...]], whole: Sequence[tuple[str, ...]]
    ) -> list[tuple[str, ...]]:
        """Return the groups without whose channels the model does not run, found by halving."""
        spared = frozenset(name for group in whole if group not in groups for name in group)
        if not groups or self._attempt(spared)[0] is not None:
            return []
        if len(groups) == 1:
            return list(groups)
        middle = len(groups) // 2
        return [
            *self._to_blame(groups[:middle], whole),
            *self._to_blame(groups[middle:], whole),
        ]

    def _groups(self) -> list[tuple[str, ...]]:
        """Return the groups that may lose channels: the names of the layers that lose them."""
        model = self.fresh()
        pruner = self._pruner(model, frozenset())
        names = {module: name for name, module in model.named_modules()}
        return [
            tuple(
                dict.fromkeys(
                    names[dep.target.module]
                    for dep, _ in group
                    if dep.target.module in names
                    and pruner.DG.is_out_channel_pruning_fn(dep.handler)
                )
            )
            for group in pruner.DG.get_all_groups(
                ignored_layers=pruner.ignored_layers, root_module_types=pruner.root_module_types
            )
        ]

    def _pruner(self, model: nn.Module, kept_whole: frozenset[str]) -> NearestPruner:
        heads = dict(self.heads(model))
        spared = [module for name, module in model.named_modules() if name in kept_whole]
        return NearestPruner(
            model,
            self.example,
            forward_fn=traced,
            importance=torch_pruning.importance.MagnitudeImportance(p=2),
            pruning_ratio=self.ratio,
            round_to=self.multiple,
            num_heads=heads,
            prune_num_heads=bool(heads),
            prune_head_dims=not heads,
            head_pruning_ratio=self.ratio if heads else 0.0,
            head_pruning_ratio_dict=_nearest_heads(heads, self.ratio),
            # Its defaults are two dictionaries that all pruners would share.
            in_channel_groups={},
            out_channel_groups={},
            ignored_layers=[
                *output_layers(model, call(model, self.example.tensors)),
                *self.kept(model),
                *spared,
            ],
        )


class NearestPruner(torch_pruning.pruner.MagnitudePruner):  # type: ignore[misc]
    """Rounds what is left to the nearest multiple; Torch-Pruning rounds it down.

    Of 16 channels a quarter less is 12: rounded down to a multiple of 8 it would be the same model
    as with half of them, and of 8 channels none would be left, so that nothing would be removed.
    """

    def _round_to(self, n_pruned: int, current_channels: int, round_to: int) -> int:
        return current_channels - nearest_width(
            current_channels - n_pruned, current_channels, round_to
        )


def nearest_width(wanted: int, current: int, multiple: int) -> int:
    """Return how many channels to keep: near what is wanted, and a width that runs fast.

    Args:
        wanted: Channels that the ratio asks to keep.
        current: Channels there are.
        multiple: The result is a multiple of this, or of its half, quarter and so on for layers
            that have less than four times as many channels; at most ``current``.
    """
    step = multiple
    while step > 1 and step * _FEWEST_PARTS > current:
        step //= 2
    return min(current, max(step, int(wanted / step + 0.5) * step))


def _nearest_heads(heads: Mapping[nn.Module, int], ratio: float) -> dict[nn.Module, float]:
    """Return each projection's ratio, so that the nearest number of heads is removed.

    Torch-Pruning rounds it up; a little less than a whole number becomes that number.
    """
    return {
        layer: max(0.0, (min(count - 1, round(ratio * count)) - 1e-6) / count)
        for layer, count in heads.items()
    }


def output_layers(model: nn.Module, outputs: Any) -> list[nn.Module]:
    """Return the layers that compute a model's outputs: their channels mean something to others.

    These are the layers from which an output is reached without passing another layer with weights,
    in the graph that autograd recorded; where they stand in the class says nothing. If the outputs
    have no gradient (they are classes, say), it is the last layer in order of definition.

    Args:
        model: The model.
        outputs: What it returned, with gradients.
    """
    owners: dict[Tensor, nn.Module] = {}
    for module in model.modules():
        if isinstance(module, _LAYERS):
            owners |= dict.fromkeys(module.parameters(), module)
    nodes = [each.grad_fn for each in named_outputs(outputs).values() if each.grad_fn is not None]
    found: dict[nn.Module, None] = {}
    seen = set(nodes)
    while nodes:
        node = nodes.pop()
        below = [each for each, _ in node.next_functions if each is not None]
        mine = [owner for each in below if (owner := _weight_owner(each, owners))]
        found |= dict.fromkeys(mine)
        for each in below if not mine else ():
            if each not in seen:
                seen.add(each)
                nodes.append(each)
    if found:
        return list(found)
    layers: list[nn.Module] = [
        m for m in model.modules() if isinstance(m, nn.Linear | nn.modules.conv._ConvNd)
    ]
    return layers[-1:]


def _weight_owner(node: Any, owners: Mapping[Tensor, nn.Module]) -> nn.Module | None:
    """Return the layer whose weights alone are below a node of autograd, if it is so."""
    nodes, leaves = [node], []
    for _ in range(_LONGEST_WEIGHT_BRANCH):
        if not nodes:
            break
        each = nodes.pop()
        if any(each.name().startswith(step) for step in _MATRIX_STEPS):
            return None
        if hasattr(each, "variable"):
            leaves.append(owners.get(each.variable))
        nodes += [below for below, _ in each.next_functions if below is not None]
    if nodes or not leaves or any(each is not leaves[0] for each in leaves):
        return None
    return leaves[0]
