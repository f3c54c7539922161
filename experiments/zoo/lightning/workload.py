"""A LightningModule, trained by Lightning's own Trainer."""

import lightning
import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from paretune import Data, Recipe, Split, Workload


class Classifier(lightning.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))
        self.rate = 1e-3

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)

    def training_step(self, batch, index):
        inputs, targets = batch
        return nn.functional.cross_entropy(self(inputs), targets)

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), self.rate)


class Digits(Workload):
    def models(self):
        return {"reference": Classifier}

    def data(self):
        images, labels = load_digits(return_X_y=True)
        images = (images / 16).astype(np.float32)
        ends = (0, 900, 1000, 1400, 1797)
        return Data(
            *(Split(images[a:b], labels[a:b]) for a, b in zip(ends, ends[1:], strict=False))
        )

    def train(self, model, data, *, epochs, peak_learning_rate, seed):
        lightning.seed_everything(seed, verbose=False)
        model.rate = peak_learning_rate
        arrays = (torch.from_numpy(each) for each in (data.train.inputs, data.train.targets))
        loader = DataLoader(TensorDataset(*arrays), batch_size=64, shuffle=True)
        quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
        lightning.Trainer(max_epochs=epochs, accelerator="cpu", **quiet).fit(model, loader)
        return []

    def recipe(self):
        return Recipe(reference_epochs=10, fine_tune_epochs=4)
