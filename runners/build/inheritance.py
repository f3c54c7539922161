"""A student takes over the reference's weights: layers by name, channels by their norm.

What reads the reference's channels makes up for those that the student lacks, so that it starts
near the reference and not near chance.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import torch
import torch_pruning
from torch import Tensor, nn

from paretune.runners.build.pruning import Pruned
from paretune.runners.build.reconstruction import make_up
from paretune.runners.build.tracing import Example, traced

_ROOTS = (nn.Linear, nn.modules.conv._ConvNd)
_PLACE = re.compile(r"(?<![^.])\d+(?![^.])")


def inherit(
    student: nn.Module,
    fresh: Callable[[], nn.Module],
    example: Example,
    batches: Iterable[Mapping[str, Tensor]],
) -> float:
    """Copy weights of the reference into a student, in place, as far as they fit.

    Args:
        student: The student, as constructed.
        fresh: Returns a new copy of the trained reference, in eval mode.
        example: Inputs that both take.
        batches: More inputs, which tell how the reference's channels depend on each other.

    Returns:
        The share of the student's parameters that were taken over, from 0 to 1.
    """
    own, reference = student.state_dict(), fresh()
    sources = source_names(list(own), list(reference.state_dict()))
    with suppress(Exception):  # what cannot be narrowed keeps its width, and is not taken over
        history = _narrow(student, reference, sources, example)
        make_up(Pruned(reference, history), fresh, example, batches)
    theirs = reference.state_dict()
    fitting = {
        name: theirs[source].clone()
        for name, source in sources.items()
        if source in theirs and theirs[source].shape == own[name].shape
    }
    student.load_state_dict(own | fitting)
    weights = dict(student.named_parameters())
    total = sum(each.numel() for each in weights.values())
    return sum(weights[name].numel() for name in fitting if name in weights) / max(total, 1)


def source_names(student: Sequence[str], reference: Sequence[str]) -> dict[str, str]:
    """Return the reference's tensor for each of a student's, by name.

    A tensor's source has the same name. Where it is inside a numbered run (``layers.3.weight``) of
    which the student has fewer, the run's members are spread evenly over those of the reference:
    two of four are the first and the third.
    """
    mine, theirs = _runs(student), _runs(reference)
    found = {}
    for name in student:
        source = name
        for place in _PLACE.finditer(name):
            run = name[: place.start()]
            have, given = mine[run], theirs.get(_renamed(run, mine, theirs), [])
            if len(have) < len(given):
                index = round(have.index(int(place.group())) * len(given) / len(have))
                parts = source.split(".")
                parts[name[: place.start()].count(".")] = str(given[index])
                source = ".".join(parts)
        found[name] = source
    known = set(reference)
    return {name: source for name, source in found.items() if source in known}


def _renamed(run: str, mine: Mapping[str, list[int]], theirs: Mapping[str, list[int]]) -> str:
    """Return a run's name in the reference: outer runs may have other numbers there."""
    return run if run in theirs else _PLACE.sub(lambda each: "0", run)


def _runs(names: Sequence[str]) -> dict[str, list[int]]:
    """Return the numbers that follow each prefix, in order: the members of runs with tensors."""
    found: defaultdict[str, set[int]] = defaultdict(set)
    for name in names:
        for place in _PLACE.finditer(name):
            found[name[: place.start()]].add(int(place.group()))
    return {prefix: sorted(numbers) for prefix, numbers in found.items()}


def _narrow(
    student: nn.Module, reference: nn.Module, sources: Mapping[str, str], example: Example
) -> list[Any]:
    """Remove the weakest channels of the reference's layers down to the student's widths.

    Returns:
        Torch-Pruning's record of the channels that were removed.
    """
    wanted = {
        source: tensor.shape
        for name, tensor in student.state_dict().items()
        if (source := sources.get(name)) is not None
    }
    names = {module: name for name, module in reference.named_modules()}
    graph = torch_pruning.DependencyGraph()
    graph.build_dependency(reference, example, forward_fn=traced)
    importance = torch_pruning.importance.MagnitudeImportance(p=2)
    for group in list(graph.get_all_groups()):
        # Some of a group's layers may be left out in the student: one that it has says the width.
        layers = (
            dep.target.module for dep, _ in group if graph.is_out_channel_pruning_fn(dep.handler)
        )
        known = (each for each in layers if f"{names.get(each)}.weight" in wanted)
        root = next((each for each in known if isinstance(each, _ROOTS)), None)
        if root is None:
            continue
        shape = wanted[f"{names[root]}.weight"]
        prune = graph.get_pruner_of_module(root).prune_out_channels
        whole = graph.get_pruning_group(root, prune, list(range(graph.get_out_channels(root))))
        width = shape[1 if isinstance(root, nn.modules.conv._ConvTransposeNd) else 0]
        surplus = graph.get_out_channels(root) - width
        if surplus <= 0:
            continue
        with torch.no_grad():
            weakest = torch.argsort(importance(whole))[:surplus].tolist()
        smaller = graph.get_pruning_group(root, prune, weakest)
        if graph.check_pruning_group(smaller):
            smaller.prune()
    history: list[Any] = graph.pruning_history()
    return history
