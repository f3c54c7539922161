"""Early stopping: a training ends when waiting longer is in vain, with the best weights it had."""

from __future__ import annotations

import copy
import math
from typing import Any

from torch import nn


class EarlyStopping:
    """Watches the validation quality of a training, epoch by epoch.

    It is over when the quality has not risen above its highest for some epochs in a row (Prechelt,
    "Early stopping, but when?", 1998, https://doi.org/10.1007/3-540-49430-8_3). Of equals the last
    is best: its learning rate was lower.

    Args:
        model: What is trained.
        patience_epochs: How many epochs to wait for a higher quality.
    """

    def __init__(self, model: nn.Module, patience_epochs: int) -> None:
        self.model = model
        self.patience_epochs = patience_epochs
        self._highest = -math.inf
        self._waited = 0
        self._best: dict[str, Any] | None = None

    def is_over(self, quality: float) -> bool:
        """Take an epoch's validation quality (NaN is no improvement); tell whether to stop."""
        self._waited = 0 if quality > self._highest else self._waited + 1
        if quality >= self._highest:
            self._highest = quality
            self._best = copy.deepcopy(self.model.state_dict())
        return self._waited >= self.patience_epochs

    def restore(self) -> None:
        """Give the model the weights of its best epoch."""
        if self._best is not None:
            self.model.load_state_dict(self._best)
