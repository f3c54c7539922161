"""Tracing: example inputs for exporters and pruners."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from paretune.runners.workload.loaded import LoadedWorkload


def example_inputs(loaded: LoadedWorkload) -> tuple[Tensor, ...]:
    """Return two samples, one tensor per input: with a batch of one, tracers would fix the axis."""
    train = loaded.data.train
    rows = [0, min(1, len(train) - 1)]
    return tuple(torch.from_numpy(array[rows]) for array in train.all_inputs)


def call(model: nn.Module, inputs: Sequence[Tensor]) -> Any:
    """Call a model, for tracers that would otherwise retry and hide the first error."""
    return model(*inputs)


def same_batch(model: nn.Module, inputs: Sequence[Tensor]) -> Any:
    """Return dynamic shapes for an exporter: all inputs share their first axis, the batch."""
    batch = torch.export.Dim("batch")
    shapes = torch.export.ShapesCollection()  # type: ignore[no-untyped-call]
    for each in inputs:
        shapes[each] = {0: batch}
    return shapes.dynamic_shapes(model, tuple(inputs))  # type: ignore[no-untyped-call]
