"""MobileNetV3 of timm, untrained, on handwritten digits."""

import numpy as np
import timm
from sklearn.datasets import load_digits
from torch import nn

from paretune import Data, Recipe, Split, Workload


class Pictures(Workload):
    """One model, trained by the default recipe."""

    def models(self):
        return {"reference": self.mobilenet}

    def mobilenet(self) -> nn.Module:
        return timm.create_model("mobilenetv3_small_050", num_classes=10, in_chans=1)

    def data(self):
        images, labels = load_digits(return_X_y=True)
        images = (images / 16).astype(np.float32).reshape(-1, 1, 8, 8).repeat(4, 2).repeat(4, 3)
        ends = (0, 900, 1000, 1400, 1797)
        return Data(
            *(Split(images[a:b], labels[a:b]) for a, b in zip(ends, ends[1:], strict=False))
        )

    def recipe(self):
        return Recipe(reference_epochs=10, fine_tune_epochs=4)
