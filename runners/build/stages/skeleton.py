"""Stage "skeleton": an untrained student, for measurements that do not depend on its weights."""

from paretune.runners.build.checkpoint import save_checkpoint
from paretune.runners.build.stages import StageInput, StageOutput


def run(given: StageInput) -> StageOutput:
    """Keep ``params["student"]`` with its initial weights."""
    student = given.params["student"]
    path = given.folder / "skeleton.safetensors"
    save_checkpoint(given.loaded.build_model(student).eval(), path, student=student, pruning=[])
    return StageOutput(path)
