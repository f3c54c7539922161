"""A small perceptron, and what its workload may say of its layers."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from torch import Tensor, nn
from torch.nn import functional

from paretune import Data, Split, Workload


class Perceptron(nn.Module):
    """Two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Linear(4, 16)
        self.classifier = nn.Linear(16, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = self.classifier(functional.relu(self.hidden(inputs)))
        return outputs


class Trained(Workload):
    """Samples and classes at random."""

    def models(self) -> Mapping[str, Callable[[], nn.Module]]:
        return {"reference": Perceptron}

    def data(self) -> Data:
        rng = np.random.default_rng(0)
        inputs = rng.normal(size=(64, 4)).astype(np.float32)
        split = Split(inputs, rng.integers(0, 3, 64))
        return Data(split, split, split, split)


class Named(Trained):
    """Its classifier stays in fp32."""

    def keep_fp32(self) -> Sequence[str]:
        return ["*linear_1"]


class Misnamed(Trained):
    """A layer that the file does not have stays in fp32."""

    def keep_fp32(self) -> Sequence[str]:
        return ["head/*"]
