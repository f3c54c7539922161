"""A model whose largest weights never matter, for tests of what pruning removes."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from paretune import Data, Split, Workload


class Gated(nn.Module):
    """Half of the hidden channels see an input that is always zero, with the largest weights."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Linear(4, 16)
        self.classifier = nn.Linear(16, 3)
        with torch.no_grad():
            nn.init.zeros_(self.hidden.bias)
            self.hidden.weight[:8, 3] = 50.0
            self.hidden.weight[:8, :3] = 0.0
            self.hidden.weight[8:, 3] = 0.0
            self.classifier.weight[:, :8] = 10.0

    def forward(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = self.classifier(functional.relu(self.hidden(inputs)))
        return outputs


class Trained(Workload):
    """Samples whose last input is zero."""

    def models(self) -> Mapping[str, Callable[[], nn.Module]]:
        return {"reference": Gated}

    def data(self) -> Data:
        rng = np.random.default_rng(0)
        inputs = rng.normal(size=(64, 4)).astype(np.float32)
        inputs[:, 3] = 0.0
        split = Split(inputs, rng.integers(0, 3, 64))
        return Data(split, split, split, split)


class NeedsTeacher(Trained):
    """A loss that only a training with a teacher can compute."""

    def train_reference(self, model: nn.Module, data: Data) -> None:
        pass

    def loss(self, outputs: Tensor, targets: Tensor, teacher: Tensor | None) -> Tensor:
        assert teacher is not None, "no teacher"
        return functional.mse_loss(outputs, teacher)


class OwnTraining(Trained):
    """A training with a loss of its own, which Paretune does not know."""

    def train(self, model: nn.Module, data: Data, **options: Any) -> Sequence[float]:
        return []


class Named(Trained):
    """Its classifier stays in fp32."""

    def keep_fp32(self) -> Sequence[str]:
        return ["*linear_1"]


class Misnamed(Trained):
    """A layer that the file does not have stays in fp32."""

    def keep_fp32(self) -> Sequence[str]:
        return ["head/*"]
