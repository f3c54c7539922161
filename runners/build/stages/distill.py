"""Stage "distill": a student learns from the reference (Hinton, Vinyals and Dean, 2015)."""

from paretune.runners.build.checkpoint import load_checkpoint
from paretune.runners.build.stages import StageInput, StageOutput
from paretune.runners.build.stages.train_part import train_part


def run(given: StageInput) -> StageOutput:
    """Train ``params["student"]`` from its initialization, or from the short part's weights."""
    student = given.params["student"]
    if given.params["part"] == "rest":
        model, _, _ = load_checkpoint(given.loaded, given.parent_file)
    else:
        model = given.loaded.build_model(student)
    return train_part(given, model, 1.0, student=student, pruning=[])
