"""Stage "qat": quantization-aware training for int8.

Weights and inputs of convolutions and linear layers are rounded as static int8 will round them, and
gradients pass as if they were not (Jacob et al., "Quantization and Training of Neural Networks for
Efficient Integer-Arithmetic-Only Inference", 2018, https://arxiv.org/abs/1712.05877). The weights
are kept in fp32: the next stages export and quantize them like any others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from paretune.runners.build.checkpoint import load_checkpoint
from paretune.runners.build.stages import StageInput, StageOutput
from paretune.runners.build.stages.train_part import train_part
from paretune.runners.workload.learning.forward import answers

_PEAK_SHARE = 0.1
"""Peak learning rate, as a share of the recipe's. Chosen by judgement."""

_MOMENTUM = 0.1
"""Weight of a new batch in the running range of activations; PyTorch's batch normalization uses the
same value.
"""

_CALIBRATED = 256
"""Calibration samples that set the ranges with which the trained model is judged. Untested."""

_OUTPUT_AXES = {
    "linear": 0,
    "conv1d": 0,
    "conv2d": 0,
    "conv3d": 0,
    "conv_transpose1d": 1,
    "conv_transpose2d": 1,
    "conv_transpose3d": 1,
}
"""The functions that compute layers, and the axis of their weight for the output channels."""


def run(given: StageInput) -> StageOutput:
    """Continue to train the model with simulated rounding, at a tenth of the peak learning rate.

    It is judged with ranges from the calibration split, as the exported model will have them.
    """
    model, student, pruning = load_checkpoint(given.loaded, given.parent_file)

    def calibrate() -> None:
        rounding.forget_ranges()
        split = given.loaded.data.calibration
        few = split.take(np.arange(min(_CALIBRATED, len(split))))
        for _ in answers(model, few, _CALIBRATED):
            pass

    with rounded(model) as rounding:
        return train_part(
            given, model, _PEAK_SHARE, before_judging=calibrate, student=student, pruning=pruning
        )


@contextmanager
def rounded(model: nn.Module) -> Iterator[Rounding]:
    """Let a model's layers compute with rounded weights and inputs.

    Not the layers but the functions that they call are replaced meanwhile: attention computes its
    projections without calling their layers. Other models' layers are not rounded. PyTorch's fused
    encoder layers call no function for each layer, and are switched off.
    """
    rounding = Rounding(model)
    saved = {name: getattr(functional, name) for name in _OUTPUT_AXES}
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        for name, function in saved.items():
            setattr(functional, name, rounding.around(name, function))
        yield rounding
    finally:
        for name, function in saved.items():
            setattr(functional, name, function)
        torch.backends.mha.set_fastpath_enabled(fused)


class Rounding:
    """The 8-bit rounding of a model's layers.

    As static int8 by NNCF has it by default: weights with one symmetric scale per output channel;
    inputs with one range, unsigned if they are never negative (after a ReLU), else symmetric around
    zero. The range is the running mean over the training batches.

    Args:
        model: The model.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._weights = {id(each): each for each in model.parameters()}
        self.ranges: dict[tuple[int, int], Tensor] = {}

    def forget_ranges(self) -> None:
        """Take the ranges from the next batch."""
        self.ranges.clear()

    def around(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function for layers that rounds first, if the weight is one of the model's."""
        axis = _OUTPUT_AXES[name]

        def rounding(
            input: Tensor, weight: Tensor, bias: Tensor | None = None, *rest: Any, **options: Any
        ) -> Any:
            whole = weight if weight._base is None else weight._base  # attention splits its weights
            if id(whole) not in self._weights:
                return function(input, weight, bias, *rest, **options)
            # Mixed precision would round again, and more coarsely.
            with torch.autocast(input.device.type, enabled=False):
                near = self._round((id(whole), int(weight.storage_offset())), input.float())
                bias = None if bias is None else bias.float()
                return function(near, _rounded_weight(weight.float(), axis), bias, *rest, **options)

        return rounding

    def _round(self, place: tuple[int, int], inputs: Tensor) -> Tensor:
        # As in NNCF: the mean of the samples' extremes.
        each = inputs.detach().flatten(1)
        seen = torch.stack([each.amin(dim=1).mean(), each.amax(dim=1).mean()])
        known = self.ranges.get(place)
        if known is None:
            known = seen
        elif self._model.training:
            known = known + _MOMENTUM * (seen - known)
        self.ranges[place] = known
        low, high = known
        signed = low < 0
        scale = torch.where(signed, torch.maximum(-low, high) / 127, high / 255).clamp(min=1e-8)
        zero = torch.where(signed, 0, -128).to(torch.int32)
        rounded: Tensor = torch.fake_quantize_per_tensor_affine(inputs, scale, zero, -128, 127)
        return rounded


def _rounded_weight(weight: Tensor, axis: int) -> Tensor:
    largest = weight.detach().abs().movedim(axis, 0).flatten(1).amax(dim=1)
    scale = (largest / 127).clamp(min=1e-8)
    zero = torch.zeros_like(scale, dtype=torch.int32)
    rounded: Tensor = torch.fake_quantize_per_channel_affine(weight, scale, zero, axis, -127, 127)
    return rounded
