"""A workload: your model, its smaller students and your data.

It runs as it is, on handwritten digits. Put in your own where it says REPLACE. Commented-out parts
show defaults or examples. `help(paretune.Workload)` describes the rest.
"""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
from sklearn.datasets import load_digits
from torch import Tensor, nn

from paretune import Data, Split, Workload


class Net(nn.Module):
    """REPLACE: the model to make fast. Whatever makes it smaller should be an argument.

    Args:
        width: Units per hidden layer.
        depth: Number of hidden layers.
    """

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs in [64] + [width] * (depth - 1):
            layers += [nn.Linear(inputs, width), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Linear(width, 10))

    def forward(self, inputs: Tensor) -> Tensor:
        """Map inputs of shape (batch, 64) to logits of shape (batch, 10)."""
        logits: Tensor = self.layers(inputs)
        return logits


class Mine(Workload):
    """The user's side of a study."""

    # quality_metric = "accuracy"   # the name of what quality() returns
    # pipeline = "pipeline.py"      # preprocess() and postprocess() to time around the model

    def models(self) -> Mapping[str, Callable[[], nn.Module]]:
        """REPLACE: constructors; `reference` is your model, all others are its students.

        `paretune.scaled(partial(Net, width=512, depth=4))` would derive students for you.
        """
        return {
            "reference": partial(Net, width=512, depth=4),
            "half": partial(Net, width=256, depth=4),
            "shallow": partial(Net, width=256, depth=2),
            "tiny": partial(Net, width=64, depth=2),
        }

    def data(self) -> Data:
        """REPLACE: four splits of numpy arrays, inputs as float32 (or whole numbers).

        Students learn from train; calibration determines the ranges of quantization; validation
        judges candidates; test judges published points, and the search never sees it.
        """
        images, labels = load_digits(return_X_y=True)
        inputs = (images / 16).astype(np.float32)
        order = np.random.default_rng(0).permutation(len(inputs))
        parts = np.split(order, [1000, 1100, 1450])
        return Data(*(Split(inputs[rows], labels[rows]) for rows in parts))

    # Your trained weights, with `import torch`, `from pathlib import Path`, and
    # CHECKPOINT = Path(__file__).with_name("checkpoint.pt"). By default, the reference is trained
    # with the recipe:
    #
    # def train_reference(self, model, data):
    #     model.load_state_dict(torch.load(CHECKPOINT, weights_only=True))
    #
    # def depends_on(self):  # other files that models or data depend on
    #     return [CHECKPOINT]

    # How students are trained, and pruned models fine-tuned (from paretune import Recipe):
    #
    # def recipe(self):
    #     return Recipe(distill_epochs=30, fine_tune_epochs=10, learning_rate=1e-3)

    # The quality, higher is better; outputs are those of the exported file:
    #
    # def quality(self, outputs, targets):
    #     return float((outputs.argmax(axis=1) == targets).mean())

    # Layers whose outputs pruning must not change:
    #
    # def keep_layers(self, model):
    #     return [model.layers[0]]
