"""Checkpoints of models that may have lost channels: safetensors, nothing to unpickle.

A pruned model has other shapes than a new instance of its class. The file carries which channels
were removed, in order, as metadata; loading builds the class, removes the same channels, then fills
the weights.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch_pruning
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from paretune.runners.build.tracing import example_inputs, traced
from paretune.runners.workload.loaded import LoadedWorkload

_ABOUT = "paretune"
PruningHistory = list[Any]
"""Torch-Pruning's history: [layer name, is output channel, channel indices] in order."""


def save_checkpoint(model: nn.Module, path: Path, *, student: str, pruning: PruningHistory) -> None:
    """Write a model's weights, its student's name and the channels it has lost."""
    tensors = {name: tensor.contiguous().clone() for name, tensor in model.state_dict().items()}
    # One entry: safetensors writes several in random order, and equal weights give equal files.
    about = json.dumps({"student": student, "pruning": pruning}, sort_keys=True)
    save_file(tensors, path, {_ABOUT: about})


def load_checkpoint(loaded: LoadedWorkload, path: Path) -> tuple[nn.Module, str, PruningHistory]:
    """Read a model in eval mode, its student's name and the channels it has lost."""
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    about = json.loads(metadata[_ABOUT])
    student, pruning = about["student"], about["pruning"]
    model = loaded.build_model(student).eval()
    if pruning:
        graph = torch_pruning.DependencyGraph()
        graph.build_dependency(model, example_inputs(loaded), forward_fn=traced)
        graph.load_pruning_history(pruning)
    model.load_state_dict(tensors)
    return model.eval(), student, pruning
