"""MobileNetV3's blocks as timm builds them: expansion, depthwise, squeeze and excite, hard swish."""

import numpy as np
from sklearn.datasets import load_digits
from torch import Tensor, nn

from paretune import Data, Recipe, Split, Workload


def unit(inputs: int, outputs: int, size: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs))


class SqueezeExcite(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.reduce, self.expand = nn.Conv2d(width, width // 4, 1), nn.Conv2d(width // 4, width, 1)
        self.act, self.gate = nn.ReLU(), nn.Hardsigmoid()

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(self.expand(self.act(self.reduce(x.mean((2, 3), keepdim=True)))))


class InvertedResidual(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int, size: int) -> None:
        super().__init__()
        wide = 4 * inputs
        self.pw, self.dw = unit(inputs, wide, 1), unit(wide, wide, size, stride, groups=wide)
        self.se, self.pwl = SqueezeExcite(wide), unit(wide, outputs, 1)
        self.act = nn.Hardswish()
        self.has_skip = inputs == outputs and stride == 1

    def forward(self, x: Tensor) -> Tensor:
        y = self.pwl(self.se(self.act(self.dw(self.act(self.pw(x))))))
        return x + y if self.has_skip else y


class MobileNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(unit(1, 16, 3), nn.Hardswish())
        sizes = [(16, 16, 1, 3), (16, 24, 2, 3), (24, 24, 1, 3), (24, 40, 2, 5), (40, 40, 1, 5)]
        self.blocks = nn.Sequential(*(InvertedResidual(*each) for each in sizes))
        self.head = nn.Sequential(unit(40, 96, 1), nn.Hardswish())
        self.classifier = nn.Linear(96, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.head(self.blocks(self.stem(x))).mean((2, 3)))


class Pictures(Workload):
    """One model, trained by the default recipe."""

    def models(self):
        return {"reference": MobileNet}

    def data(self):
        images, labels = load_digits(return_X_y=True)
        images = (images / 16).astype(np.float32).reshape(-1, 1, 8, 8).repeat(2, 2).repeat(2, 3)
        ends = (0, 900, 1000, 1400, 1797)
        return Data(
            *(Split(images[a:b], labels[a:b]) for a, b in zip(ends, ends[1:], strict=False))
        )

    def recipe(self):
        return Recipe(reference_epochs=12, fine_tune_epochs=4)
