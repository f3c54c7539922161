"""A family of trained models: residual networks of one design, of which none is trained here.

He et al., "Deep Residual Learning for Image Recognition", 2015, https://arxiv.org/abs/1512.03385,
section 4.2: 6n + 2 layers with shortcuts that have no weights. `pretrain.py` makes the checkpoints
once; a study takes them as people take those of a model zoo. The data are the handwritten digits
that are bundled with scikit-learn, moved about on a larger and noisy canvas.
"""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional

from paretune import Data, Recipe, Split, Workload, pretrained

CHECKPOINTS = Path("checkpoints")
MEMBERS = {"reference": (3, 16), "resnet14": (2, 8), "resnet8": (1, 8), "resnet8-slim": (1, 4)}
"""Residual blocks per stage, and channels in the first stage; the reference has 20 layers."""

CANVAS = 16
"""Height and width of a picture, in pixels; a digit has 8."""


class Block(nn.Module):
    """Two convolutions and a shortcut, which is padded with channels of zeros where they grow."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        stride = 2 if after > before else 1
        self.before, self.after = before, after
        self.conv1 = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.norm1, self.norm2 = nn.BatchNorm2d(after), nn.BatchNorm2d(after)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return activations of shape (batch, channels after, height, width)."""
        hidden = functional.relu(self.norm1(self.conv1(inputs)))
        if self.after > self.before:
            extra = (self.after - self.before) // 2
            inputs = functional.pad(inputs[:, :, ::2, ::2], (0, 0, 0, 0, extra, extra))
        return functional.relu(self.norm2(self.conv2(hidden)) + inputs)


def resnet(blocks: int, width: int) -> nn.Module:
    """Return a residual network of three stages, each of twice the channels of the one before."""
    layers: list[nn.Module] = [
        nn.Conv2d(1, width, 3, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
    ]
    for before, after in ((1, 1), (1, 2), (2, 4)):
        before, after = before * width, after * width
        layers += [Block(before, after), *(Block(after, after) for _ in range(blocks - 1))]
    head = nn.Linear(4 * width, 10)
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), head)


def pictures(images: np.ndarray, copies: int, seed: int) -> np.ndarray:
    """Return digits at random places of a noisy canvas, of shape (copies * n, 1, 16, 16)."""
    rng = np.random.default_rng(seed)
    found = rng.normal(0, 0.3, (copies * len(images), 1, CANVAS, CANVAS)).astype(np.float32)
    for picture, image in zip(found[:, 0], np.tile(images, (copies, 1, 1)), strict=True):
        top, left = rng.integers(0, CANVAS - 8 + 1, 2)
        picture[top : top + 8, left : left + 8] += image / 16
    return found


class Family(Workload):
    """Four members, each with its own trained weights."""

    def models(self) -> Mapping[str, Callable[[], nn.Module]]:
        """Return the members, the largest first."""
        return {
            name: pretrained(partial(resnet, *size), CHECKPOINTS / f"{name}.safetensors")
            for name, size in MEMBERS.items()
        }

    def data(self) -> Data:
        """Divide the digits first, and then draw pictures of each part."""
        images, labels = load_digits().images.astype(np.float32), load_digits().target
        order = np.random.default_rng(0).permutation(len(labels))
        parts = zip(np.split(order, [1000, 1100, 1400]), (6, 3, 3, 3), strict=True)
        return Data(
            *(
                Split(pictures(images[rows], copies, seed), np.tile(labels[rows], copies))
                for seed, (rows, copies) in enumerate(parts)
            )
        )

    def recipe(self) -> Recipe:
        """Nothing is trained: that is what `pretrain.py` was for."""
        return Recipe(fine_tune_epochs=3)
