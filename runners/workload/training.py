"""The training loop that every training stage shares."""

from __future__ import annotations

import gc
import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from paretune.runners.failure import FailureKind, StageError
from paretune.runners.workload.data import Data, Split
from paretune.runners.workload.early_stopping import EarlyStopping
from paretune.runners.workload.recipe import Recipe

_RISING_SHARE = 0.3
"""Share of a training in which the learning rate rises: the default of PyTorch's OneCycleLR."""

_SETTLING_SHARE = (1 + _RISING_SHARE) / 2
"""From this share of the steps on, the learning rate is below half its peak."""


def train(
    model: nn.Module,
    data: Data,
    loss_of: Callable[[Tensor, Tensor, Tensor | None], Tensor],
    quality_of: Callable[[NDArray[Any], NDArray[Any]], float],
    *,
    epochs: int,
    recipe: Recipe,
    seed: int,
    peak_learning_rate: float,
    teacher_logits: Tensor | None = None,
) -> list[float]:
    """Train a model on the train split, in place, and leave it in eval mode on the CPU.

    It trains on the card that this process may use, if there is one, in bfloat16 where the card has
    that; else on the CPU.

    Args:
        model: The model to train.
        data: The train split to learn from, and the validation split to decide when to stop.
        loss_of: Returns the loss of outputs, targets and the teacher's outputs (or ``None``).
        quality_of: Returns the quality of outputs and targets, higher is better.
        epochs: Maximum number of passes over the train split.
        recipe: Everything else about the training.
        seed: Seed of the shuffling.
        peak_learning_rate: Peak of the one-cycle schedule.
        teacher_logits: The reference's outputs on the train split, of shape (samples, classes).

    Returns:
        The mean loss per epoch.

    Raises:
        StageError: If the loss becomes NaN or infinite.
    """
    device = training_device()
    is_mixed = _has_bf16(device)
    torch.manual_seed(seed)
    shuffle = torch.Generator().manual_seed(seed)
    inputs = [torch.from_numpy(array) for array in data.train.all_inputs]
    targets = torch.from_numpy(data.train.targets)
    model.to(device)
    steps = math.ceil(len(targets) / recipe.batch_size)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        max_lr=peak_learning_rate,
        epochs=max(epochs, 1),
        steps_per_epoch=steps,
        pct_start=_RISING_SHARE,
    )
    stopping = EarlyStopping(model, recipe.patience_epochs)
    if recipe.patience_epochs:
        stopping.see(_quality(model, data.validation, quality_of), is_settling=False)
    losses: list[float] = []
    for epoch in range(epochs):
        model.train()
        # On the device: to read the loss in every step would wait for the card in every step.
        total = torch.zeros((), dtype=torch.float64, device=device)
        order = torch.randperm(len(targets), generator=shuffle)
        for start in range(0, len(order), recipe.batch_size):
            batch = order[start : start + recipe.batch_size]
            teacher = None if teacher_logits is None else _rows(teacher_logits, batch, device)
            # Mixed precision: bfloat16 has fp32's range, so that gradients need no scaling.
            with torch.autocast(device.type, torch.bfloat16, enabled=is_mixed):
                outputs = model(*(_rows(each, batch, device) for each in inputs))
            loss = loss_of(outputs.float(), _rows(targets, batch, device), teacher)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            total += loss.detach().double() * len(batch)
        mean_loss = float(total) / len(targets)
        losses.append(mean_loss)
        if not math.isfinite(mean_loss):
            raise StageError(
                FailureKind.INVALID,
                f"the training loss became {mean_loss} in epoch {epoch + 1} of {epochs}; lower "
                f"the recipe's learning_rate or look for bad values in the train split",
            )
        if recipe.patience_epochs:
            is_settling = epoch >= _SETTLING_SHARE * epochs
            stopping.see(_quality(model, data.validation, quality_of), is_settling)
            if stopping.is_over:
                break
    stopping.restore()
    model.cpu().eval()
    return losses


def _quality(
    model: nn.Module, split: Split, quality_of: Callable[[NDArray[Any], NDArray[Any]], float]
) -> float:
    """Return a model's quality on a split, or NaN if its outputs are not finite."""
    outputs = logits(model, split).float().numpy()
    return quality_of(outputs, split.targets) if np.isfinite(outputs).all() else math.nan


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
        recipe: Provides the temperature and the teacher's share.
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


def logits(model: nn.Module, split: Split, batch_size: int = 256) -> Tensor:
    """Return a model's outputs on a split in eval mode, on the CPU, of shape (samples, ...).

    They are computed where models are trained; the model is left where it was.
    """
    device, home = training_device(), _device_of(model)
    inputs = [torch.from_numpy(array) for array in split.all_inputs]
    model.to(device).eval()
    try:
        # Not inference_mode: a loss may want to save these for its gradient.
        with torch.no_grad():
            return torch.cat(
                [
                    model(
                        *(_rows(each, slice(start, start + batch_size), device) for each in inputs)
                    ).cpu()
                    for start in range(0, len(split), batch_size)
                ]
            )
    finally:
        model.to(home)


def training_device() -> torch.device:
    """Return the card that this process may use (the first, if it may use several), or the CPU."""
    return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")


def release_card() -> None:
    """Give the memory back that torch keeps on the card for later: others want to measure there."""
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        gc.collect()
        torch.cuda.empty_cache()


def _has_bf16(device: torch.device) -> bool:
    """Tell whether a device is a card that computes in bfloat16, and does not only emulate it."""
    if device.type != "cuda":
        return False
    return bool(torch.cuda.is_bf16_supported(including_emulation=False))


def _device_of(model: nn.Module) -> torch.device:
    tensors = itertools.chain(model.parameters(), model.buffers())
    return next((each.device for each in tensors), torch.device("cpu"))


def _rows(tensor: Tensor, rows: Tensor | slice, device: torch.device) -> Tensor:
    """Return rows of a tensor on a device; the copy to a card does not wait for the card."""
    picked = tensor[rows]
    if device.type == "cpu":
        return picked
    return picked.pin_memory().to(device, non_blocking=True)
