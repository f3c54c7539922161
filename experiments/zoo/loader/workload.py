"""A DataLoader with workers and augmentation, and datasets of torch for the other splits."""

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from paretune import Data, Recipe, Workload

IMAGES, LABELS = load_digits(return_X_y=True)


class Digits(Dataset):
    """Handwritten digits; those for training are shifted and noisy, anew in each epoch."""

    def __init__(self, start: int, end: int, augmented: bool = False) -> None:
        self.images = (IMAGES[start:end] / 16).astype(np.float32).reshape(-1, 1, 8, 8)
        self.labels = LABELS[start:end]
        self.augmented = augmented

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, row: int) -> tuple[Tensor, int]:
        image = torch.from_numpy(self.images[row])
        if self.augmented:
            shift = [int(each) for each in torch.randint(-1, 2, (2,))]
            image = image.roll(shift, (1, 2)) + 0.05 * torch.randn_like(image)
        return image, int(self.labels[row])


class Loaded(Workload):
    """A small convolutional network."""

    def models(self):
        return {"reference": self.net}

    def net(self) -> nn.Module:
        layers = [
            nn.Conv2d(1, 32, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 64, 3, padding=1),
            nn.ReLU(),
        ]
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))

    def data(self):
        train = DataLoader(
            Digits(0, 900, augmented=True), batch_size=64, shuffle=True, num_workers=2
        )
        return Data(train, Digits(900, 1000), Digits(1000, 1400), Digits(1400, 1797))

    def recipe(self):
        return Recipe(reference_epochs=25, fine_tune_epochs=4)
