"""Stage "pretrained": a student that brings its own trained weights."""

from paretune.runners.build.checkpoint import save_checkpoint
from paretune.runners.build.stages import StageInput, StageOutput


def run(given: StageInput) -> StageOutput:
    """Keep ``params["student"]`` as its constructor returns it."""
    student = given.params["student"]
    path = given.folder / "pretrained.safetensors"
    save_checkpoint(given.loaded.build_model(student).eval(), path, student=student, pruning=[])
    return StageOutput(path)
