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
    """MobileNet's block: pointwise, depthwise without bias, batch norms, ReLU6, residual."""

    def __init__(self, d=16):
        super().__init__()
        c = lambda i, o, k, **a: nn.Sequential(
            nn.Conv2d(i, o, k, bias=False, **a), nn.BatchNorm2d(o)
        )
        self.stem, self.up, self.dw, self.down = (
            c(1, d, 3, padding=1),
            c(d, 4 * d, 1),
            c(4 * d, 4 * d, 3, padding=1, groups=4 * d),
            c(4 * d, d, 1),
        )
        self.head = nn.Linear(d, 10)
        self.a = nn.ReLU6()

    def forward(self, x):
        x = self.a(self.stem(x))
        x = x + self.down(self.a(self.dw(self.a(self.up(x)))))
        return self.head(x.mean([2, 3]))


class W(Workload):
    def models(self):
        return {"reference": Net}

    def data(self):
        return split(X.reshape(-1, 1, 8, 8), Y)

    def recipe(self):
        return R()
