"""Tracing: example inputs for exporters and pruners."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from paretune.runners.workload.data import is_positional
from paretune.runners.workload.learning.forward import forward
from paretune.runners.workload.loaded import LoadedWorkload
from paretune.runners.workload.outputs import only_or_all


@dataclass(frozen=True)
class Example:
    """Inputs of one call of a model.

    Attributes:
        tensors: A tensor per input, by name; its first axis is the sample.
    """

    tensors: Mapping[str, Tensor]

    @property
    def is_positional(self) -> bool:
        """Whether the model takes them by position."""
        return is_positional(tuple(self.tensors))


def example_inputs(loaded: LoadedWorkload, count: int = 2) -> Example:
    """Return some samples; two by default, because of a batch of one tracers would fix the axis."""
    train = loaded.data.train
    rows = np.minimum(np.arange(count), len(train) - 1)
    batch = next(iter(train.batches(count, rows)))
    return Example({name: torch.from_numpy(array) for name, array in batch.inputs.items()})


def traced(model: nn.Module, example: Example) -> list[Tensor]:
    """Call a model for tracers, which would retry and so hide the first error.

    They would also miss outputs inside classes that they do not know.
    """
    return list(forward(model, example.tensors).values())


class Exported(nn.Module):
    """A model as exporters take it: inputs by position, a tensor or a mapping of tensors as output.

    Args:
        model: The model.
        names: Names of its inputs.
        dtype: Another precision to compute in. Floating inputs are cast to it, and outputs back, so
            that callers have fp32 as before.
    """

    def __init__(
        self, model: nn.Module, names: tuple[str, ...], dtype: torch.dtype | None = None
    ) -> None:
        super().__init__()
        self.model, self.dtype = model if dtype is None else model.to(dtype), dtype
        self.names = names

    def forward(self, *inputs: Tensor) -> Any:
        """Return the only output, or a mapping of several."""
        if self.dtype is not None:
            inputs = tuple(self._cast(each, self.dtype) for each in inputs)
        outputs = forward(self.model, dict(zip(self.names, inputs, strict=True)))
        if self.dtype is not None:
            outputs = {name: self._cast(each, torch.float32) for name, each in outputs.items()}
        return only_or_all(outputs)

    @staticmethod
    def _cast(tensor: Tensor, dtype: torch.dtype) -> Tensor:
        return tensor.to(dtype) if tensor.is_floating_point() else tensor


def dynamic_shapes(
    model: nn.Module, example: Example, axes: Mapping[str, Mapping[int, str]]
) -> Any:
    """Return dynamic shapes for an exporter: all inputs share their first axis, the batch.

    Args:
        model: The model to export.
        example: Its inputs, which it takes by position.
        axes: Further axes of any size: their names, by axis and by input.
    """
    sizes: dict[str, Any] = {"batch": torch.export.Dim("batch")}
    shapes = torch.export.ShapesCollection()  # type: ignore[no-untyped-call]
    for name, tensor in example.tensors.items():
        known = {
            axis: sizes.setdefault(a, torch.export.Dim(a)) for axis, a in axes.get(name, {}).items()
        }
        shapes[tensor] = {0: sizes["batch"], **known}
    given = tuple(example.tensors.values())
    return shapes.dynamic_shapes(model, given)  # type: ignore[no-untyped-call]
