"""Your model, its smaller students and your data: what Paretune searches with.

It runs as it stands, on handwritten digits. Put your own in where it says REPLACE; whatever is
commented out shows its default, or an example. `help(runners.Workload)` has the rest.
"""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
from sklearn.datasets import load_digits
from torch import Tensor, nn

from paretune import Data, Split, Workload


class Net(nn.Module):
    """REPLACE: the model to be made fast. What makes it smaller should be an argument.

    Args:
        width: Units of a hidden layer.
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
        """REPLACE: constructors; `reference` is your model, all others are students of it.

        `paretune.scaled(partial(Net, width=512, depth=4))` would derive some.
        """
        return {
            "reference": partial(Net, width=512, depth=4),
            "half": partial(Net, width=256, depth=4),
            "shallow": partial(Net, width=256, depth=2),
            "tiny": partial(Net, width=64, depth=2),
        }

    def data(self) -> Data:
        """REPLACE: four splits of numpy arrays, inputs as float32 (or whole numbers).

        Students learn from train; calibration gives quantization its ranges; validation judges
        candidates; test judges what is published, and the search never sees it.
        """
        images, labels = load_digits(return_X_y=True)
        inputs = (images / 16).astype(np.float32)
        order = np.random.default_rng(0).permutation(len(inputs))
        parts = np.split(order, [1000, 1100, 1450])
        return Data(*(Split(inputs[rows], labels[rows]) for rows in parts))

    # Your trained weights (CHECKPOINT = Path(__file__).with_name("checkpoint.pt")); without this
    # the reference is trained by the recipe:
    #
    # def train_reference(self, model, data):
    #     model.load_state_dict(torch.load(CHECKPOINT, weights_only=True))
    #
    # def depends_on(self):  # other files that decide models or data
    #     return [CHECKPOINT]

    # How students are trained, and pruned models fine-tuned:
    #
    # def recipe(self):
    #     return Recipe(distill_epochs=30, fine_tune_epochs=10, learning_rate=1e-3)

    # What quality is, higher is better; outputs are those of the exported file:
    #
    # def quality(self, outputs, targets):
    #     return float((outputs.argmax(axis=1) == targets).mean())

    # Layers whose outputs pruning must leave alone:
    #
    # def keep_layers(self, model):
    #     return [model.layers[0]]
