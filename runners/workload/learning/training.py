"""The training loop that every training stage shares."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from paretune.runners.failure import FailureKind, StageError
from paretune.runners.workload.data import Data, Dataset, Split
from paretune.runners.workload.learning.early_stopping import EarlyStopping
from paretune.runners.workload.learning.forward import (
    Outputs,
    answers,
    forward,
    on_device,
    training_device,
)
from paretune.runners.workload.learning.progress import Epoch, report_epoch
from paretune.runners.workload.learning.teacher import Teacher
from paretune.runners.workload.learning.weight_average import WeightAverage
from paretune.runners.workload.metrics.judge import judge
from paretune.runners.workload.outputs import only_or_all
from paretune.runners.workload.recipe import Recipe
from paretune.spaces import WorkloadError

if TYPE_CHECKING:
    from paretune.runners.workload.protocol import Workload

Inputs = dict[str, Tensor]
Augment = Callable[[Inputs, Any], tuple[Inputs, Any]]
Judge = Callable[[Iterable[tuple[Outputs, Any]]], float]


_WINDOW = 2048
"""Samples within which a generator is shuffled: all of them are in memory. Chosen by judgement."""


def train(
    model: nn.Module,
    data: Data,
    loss_of: Callable[[Any, Any, Any], Tensor],
    judged: Judge,
    *,
    epochs: int,
    recipe: Recipe,
    seed: int,
    peak_learning_rate: float,
    teacher: Teacher | None = None,
    augment: Augment | None = None,
) -> list[float]:
    """Train a model on the train split, in place, and leave it in eval mode on the CPU.

    It trains on the card that this process may use, if there is one; else on the CPU. A last batch
    of a single sample is left out, because batch normalization has no variance then; the order, and
    so which sample that is, differs between epochs.

    Args:
        model: The model to train.
        data: The train split to learn from, and the validation split to decide when to stop.
        loss_of: Returns the loss of outputs, targets and the teacher's outputs (or ``None``), all
            as tensors; several outputs as a mapping by name.
        judged: Returns the quality of batches of outputs by name and targets, higher is better.
        epochs: Maximum number of passes over the train split.
        recipe: Everything else about the training.
        seed: Seed of the shuffling, of dropout, and of numpy's and Python's generators, which the
            user's code may use for augmentation.
        peak_learning_rate: Peak of the one-cycle schedule.
        teacher: The reference, if the model shall learn from it.
        augment: Changes the inputs by name and the targets of a batch, on the training device.

    Returns:
        The mean loss per epoch.

    Raises:
        StageError: If the loss becomes NaN or infinite.
    """
    device, started = training_device(), time.monotonic()
    seed_generators(seed)
    shuffle = torch.Generator().manual_seed(seed)
    model.to(device)
    step = _Step(model, recipe, epochs, peak_learning_rate, _steps(len(data.train), recipe))
    teacher = teacher if recipe.teacher_share > 0 else None
    # Other data sets may show another view of a sample each time that they are asked.
    is_fixed = augment is None and isinstance(data.train, Split)
    stopping = EarlyStopping(model, recipe.patience_epochs)
    quality = None
    if recipe.patience_epochs:
        stopping.see(_quality(model, data.validation, judged), is_settling=False)
    losses: list[float] = []
    for epoch in range(epochs):
        model.train()
        # On the device: to read the loss in every step would wait for the card in every step.
        total, seen = torch.zeros((), dtype=torch.float64, device=device), 0
        for inputs, targets, rows in _batches(data.train, recipe, shuffle, device):
            if augment is not None:
                inputs, targets = augment(inputs, targets)
            taught = None
            if teacher is not None:
                known = rows if is_fixed else None
                taught = only_or_all(teacher.answers(inputs, known, len(data.train)))
            with step.precision():
                outputs = forward(model, inputs)
            found = {name: _full(each) for name, each in outputs.items()}
            loss = loss_of(only_or_all(found), targets, taught)
            step.take(loss)
            total += loss.detach().double() * len(rows)
            seen += len(rows)
        losses.append(float(total) / max(seen, 1))
        if not math.isfinite(losses[-1]):
            raise StageError(
                FailureKind.INVALID,
                f"the training loss became {losses[-1]} in epoch {epoch + 1} of {epochs}; lower "
                f"the recipe's learning_rate or look for bad values in the train split",
            )
        if recipe.patience_epochs:
            # From here on, the learning rate is below half its peak.
            is_settling = epoch >= (1 + recipe.warm_up_share) / 2 * epochs
            with step.average.applied():
                quality = _quality(model, data.validation, judged)
                stopping.see(quality, is_settling)
        left = (time.monotonic() - started) / (epoch + 1) * (epochs - epoch - 1)
        report_epoch(Epoch(epoch + 1, epochs, losses[-1], left, quality))
        if stopping.is_over:
            break
    if recipe.patience_epochs:
        stopping.restore()
    else:
        step.average.keep()
    if teacher is not None:
        teacher.release()
    model.cpu().eval()
    return losses


def seed_generators(seed: int) -> None:
    """Seed the generators of torch, numpy and Python."""
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)


class _Step:
    """Steps of the optimizer, with everything around them that the recipe asks for."""

    def __init__(
        self, model: nn.Module, recipe: Recipe, epochs: int, peak: float, steps: int
    ) -> None:
        self._model, self._recipe = model, recipe
        self._device = next((each.device for each in model.parameters()), torch.device("cpu"))
        self._optimizer = torch.optim.AdamW(
            model.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
        )
        self._schedule = torch.optim.lr_scheduler.OneCycleLR(
            self._optimizer,
            max_lr=peak,
            epochs=max(epochs, 1),
            steps_per_epoch=steps,
            pct_start=recipe.warm_up_share,
        )
        self._dtype = _dtype(recipe, self._device)
        self._scaler = torch.amp.GradScaler(self._device.type, enabled=self._dtype is torch.float16)
        self.average = WeightAverage(model, recipe.average_decay)

    def precision(self) -> torch.autocast:
        """Return the context in which the model computes."""
        dtype = self._dtype or torch.bfloat16
        return torch.autocast(self._device.type, dtype, enabled=self._dtype is not None)

    def take(self, loss: Tensor) -> None:
        """Change the weights by the gradients of a batch's loss."""
        self._optimizer.zero_grad()
        self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        if self._recipe.clip_norm:
            self._scaler.unscale_(self._optimizer)
            nn.utils.clip_grad_norm_(self._model.parameters(), self._recipe.clip_norm)
        self._scaler.step(self._optimizer)
        self._scaler.update()
        self._schedule.step()
        self.average.update()


def _batches(
    split: Dataset, recipe: Recipe, shuffle: torch.Generator, device: torch.device
) -> Iterator[tuple[Inputs, Any, Tensor]]:
    """Yield inputs by name, targets and the samples' places, in a random order.

    What can be read from its start only is shuffled within a window, which is all that is held.
    """
    window = _WINDOW if getattr(split, "is_sequential", False) else len(split)
    order = torch.cat(
        [
            start + torch.randperm(min(window, len(split) - start), generator=shuffle)
            for start in range(0, len(split), window)
        ]
    )
    if len(order) > 1 and len(order) % recipe.batch_size == 1:
        order = order[:-1]
    places = iter(torch.split(order, recipe.batch_size))
    for batch, rows in zip(split.batches(recipe.batch_size, order.numpy()), places, strict=False):
        yield on_device(dict(batch.inputs), device), on_device(batch.targets, device), rows


def _steps(samples: int, recipe: Recipe) -> int:
    return math.ceil(samples / recipe.batch_size)


def _dtype(recipe: Recipe, device: torch.device) -> torch.dtype | None:
    """Return the precision below float32 that a training computes in, if any.

    bfloat16 has the range of float32, so that gradients need no scaling.
    """
    if recipe.precision == "fp16" and device.type == "cuda":
        return torch.float16
    if recipe.precision == "bf16":
        return torch.bfloat16
    if recipe.precision != "auto" or device.type != "cuda":
        return None
    has_bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.bfloat16 if has_bf16 else None


def _full(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.is_floating_point() else tensor


def _quality(model: nn.Module, split: Dataset, judged: Judge) -> float:
    """Return a model's quality on a split, or NaN if its outputs or the quality are not finite."""
    try:
        return judged(answers(model, split))
    except WorkloadError:
        return math.nan


def judge_of(workload: Workload) -> Judge:
    """Return what judges a workload's models in training: its objective, over batches."""
    from paretune.runners.workload.loaded import metrics_of

    metrics = metrics_of(workload)[:1]
    return lambda found: judge(metrics, found).value
