"""The default loss: cross entropy and the divergence from a teacher."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from paretune.runners.workload.outputs import first_output
from paretune.runners.workload.recipe import Recipe
from paretune.spaces import WorkloadError


def distillation_loss(outputs: Any, targets: Any, teacher: Any, recipe: Recipe) -> Tensor:
    """Return cross entropy, mixed with the divergence from the teacher's softened distribution.

    The teacher's part is scaled by the squared temperature, so that its gradient keeps its size
    (Hinton, Vinyals and Dean, 2015, section 2).

    Args:
        outputs: Logits of shape (batch, classes), or with further axes before or after the classes;
            of a mapping, ``logits``, or else the first output.
        targets: Classes, integers of any width: the shape of the logits without their axis.
        teacher: The teacher's outputs, in the same form, or ``None`` for plain training.
        recipe: Provides the temperature, the teacher's share, and weights of the classes.

    Raises:
        WorkloadError: If the targets are not classes, or the teacher has other classes.
    """
    logits, classes = class_logits(outputs, targets)
    taught = None if teacher is None else class_logits(teacher, targets)[0]
    if taught is not None and taught.shape[-1] != logits.shape[-1]:
        raise WorkloadError(
            f"the student has {logits.shape[-1]} classes, and the reference {taught.shape[-1]}: "
            "give the student's last layer as many outputs as the reference's, or write loss() in "
            "the workload"
        )
    weights = None
    if recipe.class_weights:
        weights = torch.tensor(recipe.class_weights, dtype=logits.dtype, device=logits.device)
    hard = functional.cross_entropy(
        logits,
        classes,
        weight=weights,
        ignore_index=recipe.ignored_target,
        label_smoothing=recipe.label_smoothing,
    )
    if taught is None:
        return hard
    counted = classes != recipe.ignored_target
    soft = functional.kl_div(
        functional.log_softmax(logits[counted] / recipe.temperature, dim=1),
        functional.log_softmax(taught[counted] / recipe.temperature, dim=1),
        reduction="batchmean",
        log_target=True,
    )
    return recipe.teacher_share * recipe.temperature**2 * soft + (1 - recipe.teacher_share) * hard


def class_logits(outputs: Any, targets: Any) -> tuple[Tensor, Tensor]:
    """Return logits of shape (n, classes) and classes of shape (n,), n being all that have one.

    Args:
        outputs: Logits, or a mapping of outputs (see :func:`distillation_loss`).
        targets: Classes.

    Raises:
        WorkloadError: If the targets are not classes, or not those of the logits.
    """
    logits: Tensor = outputs
    if isinstance(outputs, Mapping):
        logits = outputs.get("logits", first_output(outputs))
    advice = "write loss() in the workload, which returns the loss of a batch"
    if not isinstance(targets, Tensor):
        raise WorkloadError(
            f"the default loss needs one array of classes as targets; got "
            f"{type(targets).__name__}: {advice}"
        )
    if targets.is_floating_point() or targets.is_complex():
        raise WorkloadError(
            f"the default loss needs classes (integers) as targets; got {targets.dtype} of shape "
            f"{tuple(targets.shape)}: {advice}"
        )
    axis = next(
        (
            axis
            for axis in (1, logits.ndim - 1)
            if logits.ndim > 1
            and (*logits.shape[:axis], *logits.shape[axis + 1 :]) == targets.shape
        ),
        None,
    )
    if axis is None:
        raise WorkloadError(
            "the default loss needs logits of shape (batch, classes) and targets of shape "
            f"(batch,); got {tuple(logits.shape)} and {tuple(targets.shape)}: {advice}"
        )
    return logits.movedim(axis, -1).flatten(0, -2), targets.long().flatten()
