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


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.c, self.f = nn.Conv2d(1, 16, 3, padding=1), nn.Linear(1024, 10)

    def forward(self, x):
        return self.f(self.c(x).relu().flatten(1))


class W(Workload):
    """Images flipped with [..., ::-1]: a view with a negative stride."""

    def models(self):
        return {"reference": Net}

    def data(self):
        return split(X.reshape(-1, 1, 8, 8)[..., ::-1], Y)

    def recipe(self):
        return R()
