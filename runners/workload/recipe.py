"""The recipe: the default training of models."""

from dataclasses import dataclass

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
        patience_epochs: A training keeps the weights with the best quality on the validation split,
            and stops early if that quality has not risen for this many epochs with a learning rate
            below half its peak. 0 trains to the end and keeps the last weights.
        batch_size: Samples per step.
        learning_rate: Peak of the one-cycle schedule; fine-tuning peaks at a third of it,
            quantization-aware training at a tenth.
        weight_decay: Decoupled weight decay.
        temperature: Softens both distributions in distillation.
        short_share: Share of a training's epochs that come first, as a separate stage: if their
            result cannot reach the frontier, the rest is skipped. 0 for one stage only.
        teacher_share: Weight of the teacher's loss in [0, 1]; the targets' loss gets the rest.
        width_multiple: Pruned layers keep a multiple of this many channels: odd widths run slower.
        seed: Seed of initialization and shuffling.
    """

    reference_epochs: int = 30
    distill_epochs: int = 30
    fine_tune_epochs: int = 15
    qat_epochs: int = 5
    patience_epochs: int = 10
    batch_size: int = 64
    learning_rate: float = 3e-3
    weight_decay: float = 1e-2
    temperature: float = 3.0
    short_share: float = 0.25
    teacher_share: float = 0.7
    width_multiple: int = 8
    seed: int = 0

    def short_epochs(self, epochs: int) -> int:
        """Return the number of epochs in a training's short part; 0 if it is not worth dividing."""
        return round(self.short_share * epochs) if epochs >= _FEWEST_TO_DIVIDE else 0
