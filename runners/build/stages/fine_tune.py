"""Stage "fine-tune": a pruned model recovers quality, with the reference as teacher."""

from paretune.runners.build.checkpoint import load_checkpoint
from paretune.runners.build.stages import StageInput, StageOutput
from paretune.runners.build.stages.train_part import train_part


def run(given: StageInput) -> StageOutput:
    """Continue to train the pruned model, at a third of the peak learning rate."""
    model, student, pruning = load_checkpoint(given.loaded, given.parent_file)
    return train_part(given, model, 1 / 3, student=student, pruning=pruning)
