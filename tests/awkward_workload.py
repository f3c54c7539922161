"""Models as people write them: each one stopped a study once."""

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional

from paretune import Data, Recipe, Split, Workload

IMAGES, LABELS = load_digits(return_X_y=True)
PIXELS = (IMAGES / 16).astype(np.float32)


class Awkward(Workload):
    """Digits; a subclass names its model."""

    network: type[nn.Module]
    shape: tuple[int, ...] = (64,)

    def models(self):
        return {"reference": self.network}

    def data(self):
        inputs = PIXELS.reshape(-1, *self.shape)
        rows = np.split(np.arange(600), [257, 320, 460])  # the last batch of 64 has one sample
        return Data(*(Split(inputs[part], LABELS[part].astype(np.int32)) for part in rows))

    def recipe(self):
        return Recipe(reference_epochs=2, fine_tune_epochs=1, qat_epochs=1)


class Pair(nn.Module):
    """Returns logits and features."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 32), nn.ReLU())
        self.head = nn.Linear(32, 10)

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.inner(inputs)
        return self.head(hidden), hidden


class Token(nn.Module):
    """A class token for as many samples as ``len`` says, which fixes the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.patch, self.head = nn.Conv2d(1, 32, 2, 2), nn.Linear(32, 10)
        self.token = nn.Parameter(torch.zeros(1, 1, 32))
        self.mix = nn.Linear(32, 32)

    def forward(self, inputs: Tensor) -> Tensor:
        tokens = self.patch(inputs).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.token.expand(len(inputs), -1, -1), tokens], 1)
        outputs: Tensor = self.head(functional.softmax(self.mix(tokens), 1).mean(1))
        return outputs


class Branch(nn.Module):
    """An early exit: a branch on the data."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.early = nn.Linear(64, 32), nn.Linear(32, 10)
        self.late = nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 10))

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = self.inner(inputs).relu()
        early: Tensor = self.early(hidden)
        if early.softmax(-1).max() > 0.99:
            return early
        late: Tensor = self.late(hidden)
        return late


class Keywords(nn.Module):
    """Keyword inputs, and outputs in a mapping with one inside another."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.head, self.box = nn.Linear(64, 32), nn.Linear(32, 10), nn.Linear(32, 4)

    def forward(self, *, pixels: Tensor, weight: Tensor) -> dict[str, object]:
        hidden = self.inner(pixels * weight).relu()
        return {"logits": self.head(hidden), "boxes": (self.box(hidden), hidden.sum(-1))}


class TupleOutput(Awkward):
    network = Pair


class FixedBatch(Awkward):
    network, shape = Token, (1, 8, 8)


class DataDependent(Awkward):
    network = Branch


class ByKeyword(Awkward):
    network = Keywords

    def data(self):
        def named(split: Split) -> Split:
            return Split(
                {"weight": np.ones_like(split.inputs), "pixels": split.inputs}, split.targets
            )

        data = super().data()
        return Data(*map(named, (data.train, data.calibration, data.validation, data.test)))


class ShiftedLabels(Awkward):
    """Classes from 1 to 10 for ten outputs."""

    network = Pair

    def data(self):
        data = super().data()
        return Data(*(Split(s.inputs, s.targets + 1) for s in (data.train,) * 4))


class Regression(Awkward):
    """Targets that are no classes, and no loss of its own."""

    network = Pair

    def data(self):
        data = super().data()
        return Data(*(Split(s.inputs, s.targets.astype(np.float32)) for s in (data.train,) * 4))


class Collapsed(Awkward):
    """Its metric is not a number for a model that was pruned."""

    network = Pair

    pruned = False

    def keep_layers(self, model):
        self.pruned = True
        return ()

    def quality(self, outputs, targets):
        return float("nan") if self.pruned else 0.5
