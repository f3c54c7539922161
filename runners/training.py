"""The training loop that every training stage shares."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from runners.data import Data, Split
from runners.failure import FailureKind, StageError
from runners.recipe import Recipe

if TYPE_CHECKING:
    from runners.loaded_workload import LoadedWorkload

_TIMED_STEPS = 4
_LONGEST_STEP_S = 2.0


def train(
    model: nn.Module,
    data: Data,
    loss_of: Callable[[Tensor, Tensor, Tensor | None], Tensor],
    *,
    epochs: int,
    recipe: Recipe,
    seed: int | None = None,
    peak_learning_rate: float | None = None,
    teacher_logits: Tensor | None = None,
) -> list[float]:
    """Train a model on the train split, in place, and leave it in eval mode on the CPU.

    Args:
        model: The model to train.
        data: Only its train split is read.
        loss_of: Gives the loss of outputs, targets and the teacher's outputs (or ``None``).
        epochs: Passes over the train split.
        recipe: Everything else about the training.
        seed: Seed of the shuffling; the recipe's by default.
        peak_learning_rate: Peak of the one-cycle schedule; the recipe's by default.
        teacher_logits: The reference's outputs on the train split, of shape (samples, classes).

    Returns:
        The mean loss of each epoch.

    Raises:
        StageError: If the loss becomes NaN or infinite.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    seed = recipe.seed if seed is None else seed
    torch.manual_seed(seed)
    shuffle = torch.Generator().manual_seed(seed)
    inputs, targets = torch.from_numpy(data.train.inputs), torch.from_numpy(data.train.targets)
    model.to(device).train()
    steps = math.ceil(len(inputs) / recipe.batch_size)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        max_lr=peak_learning_rate or recipe.learning_rate,
        epochs=max(epochs, 1),
        steps_per_epoch=steps,
    )
    losses: list[float] = []
    for epoch in range(epochs):
        total = 0.0
        order = torch.randperm(len(inputs), generator=shuffle)
        for start in range(0, len(order), recipe.batch_size):
            batch = order[start : start + recipe.batch_size]
            teacher = None if teacher_logits is None else teacher_logits[batch].to(device)
            outputs = model(inputs[batch].to(device))
            loss = loss_of(outputs, targets[batch].to(device), teacher)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            total += float(loss.detach()) * len(batch)
        mean_loss = total / len(inputs)
        losses.append(mean_loss)
        if not math.isfinite(mean_loss):
            raise StageError(
                FailureKind.INVALID,
                f"the training loss became {mean_loss} in epoch {epoch + 1} of {epochs}; lower "
                f"the recipe's learning_rate or look for bad values in the train split",
            )
    model.cpu().eval()
    return losses


def epoch_seconds(loaded: LoadedWorkload) -> dict[str, float]:
    """Return what an epoch of each model takes here, from a few steps of training.

    For a model that cannot be trained that way there is no entry.
    """
    if loaded.model_file is not None:
        return {}
    recipe, data = loaded.workload.recipe(), loaded.data
    steps = math.ceil(len(data.train.inputs) / recipe.batch_size)
    count = min(recipe.batch_size, len(data.train.inputs))
    batch = replace(data, train=Split(data.train.inputs[:count], data.train.targets[:count]))
    found = {}
    for name in loaded.info.models:
        spent: list[float] = []
        with suppress(Exception):
            while len(spent) < _TIMED_STEPS and sum(spent) < _LONGEST_STEP_S:
                model = loaded.build_model(name)
                teacher = logits(model, batch.train.inputs)
                started = time.perf_counter()
                loss = loaded.workload.loss
                train(model, batch, loss, epochs=1, recipe=recipe, teacher_logits=teacher)
                spent.append(time.perf_counter() - started)
            found[name] = steps * min(spent)
    return found


def distillation_loss(
    outputs: Tensor, targets: Tensor, teacher: Tensor | None, recipe: Recipe
) -> Tensor:
    """Return cross entropy, mixed with the divergence from the teacher's softened distribution.

    The teacher's part is scaled by the squared temperature, so that its gradient keeps its size
    (Hinton, Vinyals and Dean, 2015, section 2).

    Args:
        outputs: Logits of shape (batch, classes).
        targets: Classes of shape (batch,).
        teacher: The teacher's logits of shape (batch, classes), or ``None`` for plain training.
        recipe: Gives temperature and the teacher's share.
    """
    hard = functional.cross_entropy(outputs, targets)
    if teacher is None:
        return hard
    soft = functional.kl_div(
        functional.log_softmax(outputs / recipe.temperature, dim=1),
        functional.log_softmax(teacher / recipe.temperature, dim=1),
        reduction="batchmean",
        log_target=True,
    )
    return recipe.teacher_share * recipe.temperature**2 * soft + (1 - recipe.teacher_share) * hard


def logits(model: nn.Module, inputs: NDArray[Any], batch_size: int = 256) -> Tensor:
    """Return a model's outputs in eval mode, on the CPU, of shape (samples, ...)."""
    device = next(model.parameters()).device
    model.eval()
    with torch.inference_mode():
        return torch.cat(
            [
                model(torch.from_numpy(inputs[start : start + batch_size]).to(device)).cpu()
                for start in range(0, len(inputs), batch_size)
            ]
        )
