"""A training ends when quality stops rising, and keeps its best weights."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from paretune.runners.workload.data import Data, Split
from paretune.runners.workload.learning.forward import Outputs
from paretune.runners.workload.learning.training import train
from paretune.runners.workload.recipe import Recipe


def trained(qualities: list[float], **recipe: Any) -> tuple[nn.Linear, list[float], list[Tensor]]:
    """Train with given validation qualities: before the first epoch, and after each.

    Returns:
        The model, its losses, and its weights at each of these times.
    """
    rng = np.random.default_rng(0)
    split = Split(rng.normal(size=(32, 4)).astype(np.float32), rng.integers(0, 3, 32))
    torch.manual_seed(0)
    model, weights = nn.Linear(4, 3), []

    def judge(found: Iterable[tuple[Outputs, Any]]) -> float:
        [(outputs, targets)] = found
        assert outputs["output"].shape == (32, 3) and targets.shape == (32,)
        weights.append(model.weight.detach().clone())
        return qualities[len(weights) - 1]

    losses = train(
        model,
        Data(split, split, split, split),
        lambda outputs, targets, teacher: functional.cross_entropy(outputs, targets),
        judge,
        epochs=len(qualities) - 1,
        recipe=Recipe(**recipe),
        seed=0,
        peak_learning_rate=0.1,
    )
    return model, losses, weights


@pytest.mark.parametrize(
    ("qualities", "epochs", "best"),
    [
        # Of eleven epochs the last four have a rate below half the peak.
        ([0.1, 0.2, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.9], 10, 1),  # 0.9: never seen
        ([0.1, 0.2, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.3, 0.3], 11, 11),  # the last equal
        ([0.5, 0.1, 0.4, 0.4, 0.4, float("nan"), 0.4, 0.4, 0.4, 0.4, 0.4, 0.4], 10, 0),
    ],
)
def test_the_best_weights_are_kept(qualities: list[float], epochs: int, best: int) -> None:
    model, losses, weights = trained(qualities, patience_epochs=2)
    assert len(losses) == epochs
    assert torch.equal(model.weight, weights[best])
    assert len({weight.sum().item() for weight in weights}) == epochs + 1
    assert not model.training


def test_without_patience_a_training_goes_to_its_end() -> None:
    _, losses, weights = trained([0.9, 0.1, 0.1, 0.1], patience_epochs=0)
    assert len(losses) == 3 and not weights
