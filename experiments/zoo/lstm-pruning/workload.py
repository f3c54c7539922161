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
        self.i, self.rnn, self.c = (
            nn.Linear(8, 32),
            nn.LSTM(32, 64, batch_first=True),
            nn.Linear(64, 10),
        )

    def forward(self, x):
        out, _ = self.rnn(self.i(x).relu())
        return self.c(out[:, -1])


class W(Workload):
    def models(self):
        return {"reference": Net}

    def data(self):
        return split(X.reshape(-1, 8, 8), Y)

    def recipe(self):
        return R()
