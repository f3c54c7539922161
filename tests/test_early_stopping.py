"""A training ends when waiting is in vain, with the best weights it had."""

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from runners.data import Data, Split
from runners.recipe import Recipe
from runners.training import train


def trained(qualities: list[float], **recipe: Any) -> tuple[nn.Linear, list[float], list[Tensor]]:
    """Train while the validation quality goes as told.

    Returns:
        The model, its losses, and its weights after each epoch.
    """
    rng = np.random.default_rng(0)
    split = Split(rng.normal(size=(32, 4)).astype(np.float32), rng.integers(0, 3, 32))
    torch.manual_seed(0)
    model, weights = nn.Linear(4, 3), []

    def quality_of(outputs: NDArray[Any], targets: NDArray[Any]) -> float:
        assert outputs.shape == (32, 3) and targets.shape == (32,)
        weights.append(model.weight.detach().clone())
        return qualities[len(weights) - 1]

    losses = train(
        model,
        Data(split, split, split, split),
        lambda outputs, targets, teacher: functional.cross_entropy(outputs, targets),
        quality_of,
        epochs=len(qualities),
        recipe=Recipe(**recipe),
        seed=0,
        peak_learning_rate=0.1,
    )
    return model, losses, weights


@pytest.mark.parametrize(
    ("qualities", "epochs", "best"),
    [
        ([0.1, 0.5, 0.4, 0.3, 0.2, 0.9], 5, 2),  # the 0.9 is never seen
        ([0.1, 0.5, 0.5, 0.4, 0.6, 0.6], 6, 6),  # of equals the last
        ([0.5, float("nan"), 0.4, 0.3, 0.9], 4, 1),
    ],
)
def test_the_best_weights_are_kept(qualities: list[float], epochs: int, best: int) -> None:
    model, losses, weights = trained(qualities, patience_epochs=3)
    assert len(losses) == epochs
    assert torch.equal(model.weight, weights[best - 1])
    assert len({weight.sum().item() for weight in weights}) == epochs
    assert not model.training


def test_without_patience_a_training_goes_to_its_end() -> None:
    _, losses, weights = trained([0.9, 0.1, 0.1, 0.1], patience_epochs=0)
    assert len(losses) == 4 and not weights
