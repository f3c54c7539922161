"""The shared part of the training stages: train, judge by the validation split, keep weights."""

from __future__ import annotations

from typing import Any

from torch import nn

from paretune.runners.build.checkpoint import save_checkpoint
from paretune.runners.build.stages import StageInput, StageOutput
from paretune.runners.workload.training import logits


def train_part(
    given: StageInput, model: nn.Module, peak_share: float, **checkpoint: Any
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
        checkpoint: Further values for the checkpoint.
    """
    loaded = given.loaded
    recipe = loaded.workload.recipe()
    losses = loaded.workload.train(
        model.train(),
        loaded.data,
        epochs=given.params["epochs"],
        seed=recipe.seed + (given.params["part"] == "rest"),
        peak_learning_rate=recipe.learning_rate * peak_share,
        teacher_logits=given.teacher_logits(),
    )
    model.cpu().eval()
    outputs = logits(model, loaded.data.validation).numpy()
    path = given.folder / "trained.safetensors"
    save_checkpoint(model, path, **checkpoint)
    return StageOutput(
        path,
        {"quality": loaded.score(outputs, "validation")},
        [float(loss) for loss in losses or ()],
    )
