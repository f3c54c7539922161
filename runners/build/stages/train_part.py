"""The shared part of the training stages: train, judge by the validation split, keep weights."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

from torch import nn

from paretune.runners.build.checkpoint import save_checkpoint
from paretune.runners.build.stages import StageInput, StageOutput
from paretune.runners.failure import FailureKind, StageError
from paretune.runners.workload.learning.forward import answers
from paretune.runners.workload.learning.training import judge_of
from paretune.spaces import WorkloadError


def train_part(
    given: StageInput,
    model: nn.Module,
    peak_share: float,
    *,
    before_judging: Callable[[], None] = lambda: None,
    **checkpoint: Any,
) -> StageOutput:
    """Train a model for ``params["epochs"]``, with the reference as teacher.

    The rest of a training continues from the weights of its short part, with a learning rate that
    rises again (a warm restart: Loshchilov and Hutter, "SGDR", 2017,
    https://arxiv.org/abs/1608.03983), so that both parts end with a rate near zero and the quality
    after the short one means something.

    Args:
        given: The stage's input.
        model: The model, in place.
        peak_share: Peak of the learning rate, relative to the recipe's.
        before_judging: Called between the training and the judgement.
        checkpoint: Further values for the checkpoint.

    Raises:
        StageError: If the trained model's quality is not a finite number.
    """
    loaded = given.loaded
    recipe = loaded.workload.recipe()
    try:
        losses = loaded.workload.train(
            model.train(),
            loaded.data,
            epochs=given.params["epochs"],
            seed=recipe.seed + (given.params["part"] == "rest"),
            peak_learning_rate=recipe.learning_rate * peak_share,
            **_teacher(given),
        )
    except WorkloadError as error:  # what needs no training can go on
        raise StageError(FailureKind.INVALID, str(error)) from error
    model.cpu().eval()
    before_judging()
    try:
        quality = judge_of(loaded.workload)(answers(model, loaded.data.validation))
    except WorkloadError as error:  # it concerns this model: the baseline's quality is known
        raise StageError(FailureKind.ACCURACY, f"the trained model: {error}") from error
    if not math.isfinite(quality):
        raise StageError(
            FailureKind.ACCURACY,
            f"the quality of the trained model on the validation split is {quality}: its outputs "
            "have collapsed, or the metric is not defined for them",
        )
    path = given.folder / "trained.safetensors"
    save_checkpoint(model, path, **checkpoint)
    return StageOutput(path, {"quality": quality}, [float(loss) for loss in losses or ()])


def _teacher(given: StageInput) -> dict[str, Any]:
    """Return the teacher in the form that the workload's ``train`` takes, if it takes one."""
    if given.loaded.workload.recipe().teacher_share <= 0:
        return {}
    parameters = inspect.signature(given.loaded.workload.train).parameters.values()
    names = {each.name for each in parameters}
    if "teacher" in names or any(each.kind is each.VAR_KEYWORD for each in parameters):
        return {"teacher": given.teacher()}
    if "teacher_logits" in names:
        return {"teacher_logits": given.teacher().logits(given.loaded.data.train)}
    return {}
