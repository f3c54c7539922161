"""A vision transformer of timm, small and untrained, on handwritten digits."""

import numpy as np
from sklearn.datasets import load_digits
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from paretune import Data, Recipe, Split, Workload


class Pictures(Workload):
    """One model, trained by the default recipe."""

    def models(self):
        return {"reference": self.vit}

    def vit(self) -> nn.Module:
        sizes = {"img_size": 16, "patch_size": 4, "in_chans": 1, "num_classes": 10}
        return VisionTransformer(**sizes, embed_dim=64, depth=3, num_heads=4)

    def data(self):
        images, labels = load_digits(return_X_y=True)
        images = (images / 16).astype(np.float32).reshape(-1, 1, 8, 8).repeat(2, 2).repeat(2, 3)
        ends = (0, 900, 1000, 1400, 1797)
        return Data(
            *(Split(images[a:b], labels[a:b]) for a, b in zip(ends, ends[1:], strict=False))
        )

    def recipe(self):
        return Recipe(reference_epochs=10, fine_tune_epochs=4)
