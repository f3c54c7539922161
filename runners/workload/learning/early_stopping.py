"""Early stopping: a training ends when quality stops rising, and keeps its best weights."""

from __future__ import annotations

import copy
import math
from typing import Any

from torch import nn


class EarlyStopping:
    """Watches the validation quality of a training, epoch by epoch.

    The training is over when the quality has not exceeded its maximum for some epochs in a row
    (Prechelt, "Early stopping, but when?", 1998, https://doi.org/10.1007/3-540-49430-8_3). Among
    equals the last is best, because its learning rate was lower.

    Args:
        model: The model in training.
        patience_epochs: How many epochs to wait for a higher quality.

    Attributes:
        is_over: Whether the training should end.
    """

    def __init__(self, model: nn.Module, patience_epochs: int) -> None:
        self.model = model
        self.patience_epochs = patience_epochs
        self._highest = -math.inf
        self._waited = 0
        self._best: dict[str, Any] | None = None
        self.is_over = False

    def see(self, quality: float, is_settling: bool) -> None:
        """Record the model's current validation quality.

        Args:
            quality: The quality; NaN is no improvement.
            is_settling: Whether the learning rate has fallen. A high one holds the quality down, so
                it is worth waiting for it to fall: epochs before that do not count.
        """
        self._waited = 0 if quality > self._highest else self._waited + is_settling
        self.is_over = self._waited >= self.patience_epochs
        if quality >= self._highest:
            self._highest = quality
            self._best = copy.deepcopy(self.model.state_dict())

    def restore(self) -> None:
        """Load the weights of the best epoch into the model."""
        if self._best is not None:
            self.model.load_state_dict(self._best)
