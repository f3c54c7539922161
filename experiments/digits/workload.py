"""Handwritten digits: scikit-learn's bundled 8×8 scans of 1,797 digits by 43 writers.

E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning
Repository, 1998, https://doi.org/10.24432/C50P49.
"""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn

from paretune import Data, Recipe, Split, Workload, inheriting

CLASSES = 10


class ConvNet(nn.Module):
    """Two pairs of convolutions with pooling between, an average over the picture, a hidden layer.

    The average prevents memorizing positions: accuracy needs width.

    Args:
        width: Channels of the first pair; the second has twice as many.
        hidden: Units of the hidden layer.
    """

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *_convolution(1, width),
            *_convolution(width, width),
            nn.MaxPool2d(2),
            *_convolution(width, 2 * width),
            *_convolution(2 * width, 2 * width),
            nn.AdaptiveAvgPool2d(1),
        )
        self.classifier = nn.Sequential(
            nn.Flatten(), nn.Linear(2 * width, hidden), nn.ReLU(), nn.Linear(hidden, CLASSES)
        )

    def forward(self, images: Tensor) -> Tensor:
        """Map images of shape (batch, 1, 8, 8) to logits of shape (batch, 10)."""
        logits: Tensor = self.classifier(self.features(images))
        return logits


def _convolution(inputs: int, outputs: int) -> list[nn.Module]:
    convolution = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
    return [convolution, nn.BatchNorm2d(outputs), nn.ReLU()]


class Digits(Workload):
    """A convolutional reference and a ladder of students, each several times cheaper."""

    pipeline = "pipeline.py"

    def models(self) -> Mapping[str, Callable[[], nn.Module]]:
        """Return the reference and its students, largest first; they start from its weights."""
        return {
            "reference": partial(ConvNet, width=128, hidden=256),
            "large": inheriting(partial(ConvNet, width=64, hidden=128)),
            "medium": inheriting(partial(ConvNet, width=32, hidden=64)),
            "small": inheriting(partial(ConvNet, width=16, hidden=32)),
            "tiny": inheriting(partial(ConvNet, width=8, hidden=16)),
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

    def requests(self, split: str) -> NDArray[np.uint8]:
        """Return the scans of a split as they come from the scanner: grey levels 0 to 16."""
        inputs = getattr(self.data(), split).inputs
        return np.rint(inputs[:, 0] * 16).astype(np.uint8)

    def recipe(self) -> Recipe:
        """Return the default recipe, with widths rounded to 4: the smallest student has 4."""
        return Recipe(reference_epochs=15, distill_epochs=30, fine_tune_epochs=10, width_multiple=4)
