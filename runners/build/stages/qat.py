"""Stage "qat": quantization-aware training for int8.

Weights and inputs of convolutions and linear layers are rounded as static int8 will round them, and
gradients pass as if they were not (Jacob et al., "Quantization and Training of Neural Networks for
Efficient Integer-Arithmetic-Only Inference", 2018, https://arxiv.org/abs/1712.05877). The weights
are kept in fp32: the next stages export and quantize them like any others.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional

from paretune.runners.build.checkpoint import load_checkpoint
from paretune.runners.build.stages import StageInput, StageOutput
from paretune.runners.build.stages.train_part import train_part

_PEAK_SHARE = 0.1
"""Peak learning rate, as a share of the recipe's. Chosen by judgement."""

_MOMENTUM = 0.1
"""Weight of a new batch in the running range of activations; PyTorch's batch normalization uses the
same value.
"""

_Layer = nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d


def run(given: StageInput) -> StageOutput:
    """Continue to train the model with simulated rounding, at a tenth of the peak learning rate."""
    model, student, pruning = load_checkpoint(given.loaded, given.parent_file)
    with _rounded(model):
        return train_part(given, model, _PEAK_SHARE, student=student, pruning=pruning)


@contextmanager
def _rounded(model: nn.Module) -> Iterator[None]:
    """Let a model's layers compute with rounded weights and inputs."""
    layers = [module for module in model.modules() if isinstance(module, _Layer)]
    for layer in layers:
        layer.forward = _RoundedForward(layer)  # type: ignore[assignment, method-assign]
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward


class _RoundedForward:
    """A layer's forward pass with 8-bit weights and inputs.

    Weights have one scale per output channel; the input has one range, the running mean over the
    training batches.
    """

    def __init__(self, layer: _Layer) -> None:
        self._layer = layer
        self._range: Tensor | None = None

    def __call__(self, inputs: Tensor) -> Tensor:
        # Mixed precision would round again, and more coarsely.
        with torch.autocast(inputs.device.type, enabled=False):
            layer, inputs = self._layer, self._round(inputs.float())
            weight, bias = _rounded_weight(layer.weight), layer.bias
            if isinstance(layer, nn.Linear):
                return functional.linear(inputs, weight, bias)
            outputs: Tensor = layer._conv_forward(inputs, weight, bias)
            return outputs

    def _round(self, inputs: Tensor) -> Tensor:
        # As in NNCF: the mean of the samples' extremes, zero included, because padding must be
        # exact.
        each = inputs.detach().flatten(1)
        low, high = each.amin(dim=1).mean(), each.amax(dim=1).mean()
        seen = torch.stack([low.clamp(max=0), high.clamp(min=0)])
        if self._range is None:
            self._range = seen
        elif self._layer.training:
            self._range = self._range + _MOMENTUM * (seen - self._range)
        low, high = self._range
        scale = ((high - low) / 255).clamp(min=1e-8)
        zero = torch.round(-low / scale).to(torch.int32)
        rounded: Tensor = torch.fake_quantize_per_tensor_affine(inputs, scale, zero, 0, 255)
        return rounded


def _rounded_weight(weight: Tensor) -> Tensor:
    scale = (weight.detach().abs().flatten(1).amax(dim=1) / 127).clamp(min=1e-8)
    zero = torch.zeros_like(scale, dtype=torch.int32)
    rounded: Tensor = torch.fake_quantize_per_channel_affine(weight, scale, zero, 0, -127, 127)
    return rounded
