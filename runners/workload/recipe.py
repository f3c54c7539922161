"""The recipe: the default training of models."""

from dataclasses import dataclass
from typing import Literal

_FEWEST_TO_DIVIDE = 8
"""Epochs below which a training has one part. Chosen by judgement."""


@dataclass(frozen=True)
class Recipe:
    """How models are trained when the workload does not say otherwise.

    AdamW with a one-cycle learning rate; students learn from the reference's logits as well as
    from the targets (Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network",
    2015, https://arxiv.org/abs/1503.02531). In mixed precision, on a card that has bfloat16.

    Attributes:
        reference_epochs: Passes over the train split for the reference, if Paretune trains it.
        distill_epochs: Passes over the train split for a student.
        fine_tune_epochs: Passes over the train split after pruning.
        qat_epochs: Passes over the train split with int8's rounding simulated (``int8-qat``).
        refine_epochs: Passes over the train split for a student that brings its own trained weights
            (:func:`paretune.pretrained`); 0 takes it as it is.
        patience_epochs: A training keeps the weights with the best quality on the validation split,
            and stops early if that quality has not risen for this many epochs with a learning rate
            below half its peak. 0 trains to the end and keeps the last weights.
        batch_size: Samples per step.
        learning_rate: Peak of the one-cycle schedule; fine-tuning and refining peak at a third of
            it, quantization-aware training at a tenth.
        warm_up_share: Share of a training in which the learning rate rises to its peak.
        weight_decay: Decoupled weight decay.
        temperature: Softens both distributions in distillation.
        short_share: Share of a training's epochs that come first, as a separate stage: if their
            result cannot reach the frontier, the rest is skipped. 0 for one stage only.
        teacher_share: Weight of the teacher's loss in [0, 1]; the targets' loss gets the rest. With
            0 there is no teacher, and none is asked.
        class_weights: Weight of each class in the targets' loss, for classes of unequal size.
        label_smoothing: Share of the targets' loss that goes to all classes alike.
        ignored_target: Class of targets that do not count.
        clip_norm: Gradients are scaled down to this norm if theirs is larger; 0 leaves them alone.
        average_decay: The model keeps an exponential moving average of its weights, with this much
            of the past per step, such as 0.999; 0 keeps the weights themselves.
        precision: ``"auto"`` computes in bfloat16 on cards that have it, ``"bf16"`` on any device,
            ``"fp16"`` in half precision with scaled gradients on a card, ``"fp32"`` in full.
        width_multiple: Pruned layers keep a multiple of this many channels: odd widths run slower.
        seed: Seed of initialization and shuffling.
    """

    reference_epochs: int = 30
    distill_epochs: int = 30
    fine_tune_epochs: int = 15
    qat_epochs: int = 5
    refine_epochs: int = 0
    patience_epochs: int = 10
    batch_size: int = 64
    learning_rate: float = 3e-3
    warm_up_share: float = 0.3
    weight_decay: float = 1e-2
    temperature: float = 3.0
    short_share: float = 0.25
    teacher_share: float = 0.7
    class_weights: tuple[float, ...] = ()
    label_smoothing: float = 0.0
    ignored_target: int = -100
    clip_norm: float = 0.0
    average_decay: float = 0.0
    precision: Literal["auto", "bf16", "fp16", "fp32"] = "auto"
    width_multiple: int = 8
    seed: int = 0

    def short_epochs(self, epochs: int) -> int:
        """Return the number of epochs in a training's short part; 0 if it is not worth dividing."""
        return round(self.short_share * epochs) if epochs >= _FEWEST_TO_DIVIDE else 0
