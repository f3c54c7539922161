import numpy as np
from sklearn.datasets import load_digits
from torch import nn

from paretune import Data, Recipe, Split, Workload

X, Y = load_digits(return_X_y=True)
X = (X / 16).astype(np.float32)
R = lambda **k: Recipe(reference_epochs=6, distill_epochs=6, fine_tune_epochs=4, **k)


def split(x, y, *more, cut=(900, 1000, 1400)):
    parts = [np.split(a, cut) for a in (x, y, *more)]
    return Data(*(Split(p[0], p[1], tuple(p[2:])) for p in zip(*parts)))


class Net(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 3))


class W(Workload):
    """Multi-label: three yes/no answers a sample, float targets; loss is BCE, quality() was forgotten."""

    def models(self):
        return {"reference": Net}

    def data(self):
        return split(X, np.stack([Y % 2, Y > 4, Y % 3 == 0], 1).astype(np.float32))

    def loss(self, outputs, targets, teacher):
        return nn.functional.binary_cross_entropy_with_logits(outputs, targets)

    def recipe(self):
        return R()
