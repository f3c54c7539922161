"""Handwritten digits: scikit-learn's bundled 8×8 scans of 1,797 digits by 43 writers.

E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning
Repository, 1998, https://doi.org/10.24432/C50P49.
"""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn

from runners import Data, Recipe, Split, Workload

CLASSES = 10


class ConvNet(nn.Module):
    """Convolutions in pairs with pooling between, then a hidden layer.

    Args:
        widths: Channels of each block; the 8×8 picture is halved after each.
        depth: Convolutions in a block.
        hidden: Units of the hidden layer.
    """

    def __init__(self, widths: tuple[int, ...], depth: int, hidden: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 1
        for width in widths:
            for _ in range(depth):
                layers += [
                    nn.Conv2d(channels, width, 3, padding=1, bias=False),
                    nn.BatchNorm2d(width),
                    nn.ReLU(),
                ]
                channels = width
            layers.append(nn.MaxPool2d(2))
        side = 8 // 2 ** len(widths)
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            nn.Flatten(),
            nn.Linear(channels * side * side, hidden),
            nn.ReLU(),
            nn.Linear(hidden, CLASSES),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Map images of shape (batch, 1, 8, 8) to logits of shape (batch, 10)."""
        logits: Tensor = self.classifier(self.features(images))
        return logits


class Digits(Workload):
    """A convolutional reference and a ladder of students, each several times cheaper."""

    def models(self) -> Mapping[str, Callable[[], nn.Module]]:
        """Return the reference and its students, largest first."""
        return {
            "reference": partial(ConvNet, widths=(128, 256), depth=2, hidden=256),
            "large": partial(ConvNet, widths=(64, 128), depth=2, hidden=128),
            "medium": partial(ConvNet, widths=(32, 64), depth=1, hidden=64),
            "small": partial(ConvNet, widths=(16, 32), depth=1, hidden=32),
            "tiny": partial(ConvNet, widths=(8, 8), depth=1, hidden=16),
        }

    def data(self) -> Data:
        """Split the scans: 598 to train, 300 to calibrate, 450 for validation, 449 for test."""
        images, targets = load_digits(return_X_y=True)
        images = (images / 16.0).astype(np.float32).reshape(-1, 1, 8, 8)
        inputs, held_inputs, labels, held_labels = train_test_split(
            images, targets, test_size=899, random_state=0, stratify=targets
        )
        validation_inputs, test_inputs, validation_labels, test_labels = train_test_split(
            held_inputs, held_labels, test_size=449, random_state=0, stratify=held_labels
        )
        return Data(
            train=Split(inputs[300:], labels[300:]),
            calibration=Split(inputs[:300], labels[:300]),
            validation=Split(validation_inputs, validation_labels),
            test=Split(test_inputs, test_labels),
        )

    def recipe(self) -> Recipe:
        """Return the default recipe, with widths rounded to 4: the smallest student has 4."""
        return Recipe(reference_epochs=15, distill_epochs=30, fine_tune_epochs=10, width_multiple=4)
