"""Breast cancer: thirty measures of a cell sample, benign or malignant; bundled with scikit-learn.

W. N. Street, W. H. Wolberg and O. L. Mangasarian, "Nuclear Feature Extraction for Breast Tumor
Diagnosis", 1993, https://doi.org/10.1117/12.148698. It represents the low end: a call of the
reference takes microseconds, and compression has little to gain.
"""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from torch import nn

from paretune import Data, Recipe, Split, Workload


def perceptron(width: int) -> nn.Module:
    """Return a perceptron of two hidden layers, from 30 measures to 2 logits."""
    return nn.Sequential(
        nn.Linear(30, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 2)
    )


class Tabular(Workload):
    """A perceptron and narrower ones."""

    def models(self) -> Mapping[str, Callable[[], nn.Module]]:
        """Return the reference and its students, largest first."""
        widths = {"reference": 256, "medium": 64, "small": 16}
        return {name: partial(perceptron, width) for name, width in widths.items()}

    def data(self) -> Data:
        """Standardize by the train split and divide: 229 to train, 100, 120 and 120."""
        inputs, targets = load_breast_cancer(return_X_y=True)
        rows: list[np.ndarray] = []
        rest = np.arange(len(targets))
        for count in (120, 120, 100):
            rest, held = train_test_split(
                rest, test_size=count, random_state=0, stratify=targets[rest]
            )
            rows.append(held)
        mean, spread = inputs[rest].mean(axis=0), inputs[rest].std(axis=0)
        scaled = ((inputs - mean) / spread).astype(np.float32)
        test, validation, calibration = (Split(scaled[r], targets[r]) for r in rows)
        return Data(Split(scaled[rest], targets[rest]), calibration, validation, test)

    def recipe(self) -> Recipe:
        """Return the default recipe with fewer samples per step, because there are few."""
        return Recipe(batch_size=16, reference_epochs=20, distill_epochs=20, fine_tune_epochs=10)
