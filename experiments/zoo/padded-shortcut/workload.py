import numpy as np
import torch
from torch import nn
from torch.nn import functional

from paretune import Data, Recipe, Split, Workload


class Block(nn.Module):
    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.before, self.after = before, after
        self.one = nn.Conv2d(before, after, 3, stride=2 if after > before else 1, padding=1)
        self.two = nn.Conv2d(after, after, 3, padding=1)

    def forward(self, x):
        y = self.two(torch.relu(self.one(x)))
        if self.after > self.before:  # no weights: every second pixel, channels padded with zeros
            extra = (self.after - self.before) // 2
            x = functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, extra, extra))
        return torch.relu(y + x)


def net(blocks: int = 2) -> nn.Module:
    layers = [nn.Conv2d(1, 16, 3, padding=1), nn.ReLU()]
    for before, after in ((16, 16), (16, 32), (32, 64)):
        layers += [Block(before, after), *(Block(after, after) for _ in range(blocks - 1))]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 4))


class Padded(Workload):
    def models(self):
        return {"reference": net, "short": lambda: net(1)}

    def data(self):
        rng = np.random.default_rng(0)
        labels = rng.integers(0, 4, 900)
        x = rng.normal(0, 0.5, (900, 1, 16, 16)).astype("float32")
        for i, k in enumerate(labels):
            x[i, 0, 4 * k : 4 * k + 4] += 1
        cut = lambda a, b: Split(x[a:b], labels[a:b])
        return Data(
            train=cut(0, 500),
            calibration=cut(500, 600),
            validation=cut(600, 750),
            test=cut(750, 900),
        )

    def recipe(self):
        return Recipe(reference_epochs=3, distill_epochs=3, fine_tune_epochs=2)
