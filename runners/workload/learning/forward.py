"""Running a model on batches: by position or by keyword, on the device that trains."""

from __future__ import annotations

import gc
import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from paretune.runners.workload.data import Dataset, is_positional
from paretune.runners.workload.outputs import named_outputs

Outputs = dict[str, NDArray[Any]]

JUDGED_AT_ONCE = 256
"""Samples per call where a model is judged, which takes no gradients. Untested."""


def call(model: nn.Module, inputs: Mapping[str, Tensor]) -> Any:
    """Return what a model returns for inputs by name: it takes them by position or by keyword."""
    return model(*inputs.values()) if is_positional(tuple(inputs)) else model(**inputs)


def forward(model: nn.Module, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a model's outputs by name, for inputs by name."""
    return named_outputs(call(model, inputs))


def on_device(value: Any, device: torch.device) -> Any:
    """Return arrays as tensors on a device, also those in a mapping, a tuple or a list.

    The copy to a card does not wait for the card. What is no array of numbers stays as it is.
    """
    if isinstance(value, Mapping):
        return {name: on_device(each, device) for name, each in value.items()}
    if isinstance(value, tuple | list):
        return [on_device(each, device) for each in value]
    if isinstance(value, np.ndarray) and value.dtype.kind in "biufc":
        value = torch.from_numpy(value)
    if not isinstance(value, Tensor) or device.type == "cpu":
        return value
    return value.pin_memory().to(device, non_blocking=True)


def answers(
    model: nn.Module, dataset: Dataset, batch_size: int = JUDGED_AT_ONCE
) -> Iterator[tuple[Outputs, Any]]:
    """Yield a model's outputs by name with the targets, batch by batch, in eval mode.

    They are computed where models are trained; the model is left where it was, in eval mode.
    """
    device, home = training_device(), device_of(model)
    model.to(device).eval()
    try:
        for batch in dataset.batches(batch_size):
            with torch.no_grad():
                outputs = forward(model, on_device(dict(batch.inputs), device))
            yield {name: as_array(each) for name, each in outputs.items()}, batch.targets
    finally:
        model.to(home)


def as_array(tensor: Tensor) -> NDArray[Any]:
    """Return a tensor as an array; numpy has no bfloat16, which becomes float32."""
    tensor = tensor.detach().cpu()
    array: NDArray[Any] = (tensor.float() if tensor.dtype is torch.bfloat16 else tensor).numpy()
    return array


def training_device() -> torch.device:
    """Return the card that this process may use (the first, if it may use several), or the CPU."""
    return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")


def release_card() -> None:
    """Give the memory back that torch keeps on the card for later: others want to measure there."""
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        gc.collect()
        torch.cuda.empty_cache()


def device_of(model: nn.Module) -> torch.device:
    """Return where a model's weights are; the CPU if it has none."""
    tensors = itertools.chain(model.parameters(), model.buffers())
    return next((each.device for each in tensors), torch.device("cpu"))
