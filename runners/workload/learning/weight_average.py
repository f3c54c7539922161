"""The running average of a model's weights, which often answers better than the last ones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class WeightAverage:
    """An exponential moving average of a model's parameters.

    It starts with a shorter memory, so that the first, random weights are soon forgotten (as in
    TensorFlow's ``ExponentialMovingAverage`` with ``num_updates``). Buffers, such as the statistics
    of batch normalization, are averages already.

    Args:
        model: The model in training.
        decay: Weight of the past in [0, 1); 0 for no average.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self._decay = decay
        self._parameters = list(model.parameters()) if decay else []
        self._averages: list[Tensor] = [each.detach().clone() for each in self._parameters]
        self._updates = 0

    @torch.no_grad()
    def update(self) -> None:
        """Take the present weights into account, after a step of the optimizer."""
        self._updates += 1
        decay = min(self._decay, (1 + self._updates) / (10 + self._updates))
        for average, parameter in zip(self._averages, self._parameters, strict=True):
            average.lerp_(parameter, 1 - decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Give the model the averages, and its own weights back afterwards."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def keep(self) -> None:
        """Give the model the averages for good."""
        self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for average, parameter in zip(self._averages, self._parameters, strict=True):
            own = parameter.clone()
            parameter.copy_(average)
            average.copy_(own)
