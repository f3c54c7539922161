"""Stage "distill": a student learns from the reference (Hinton, Vinyals and Dean, 2015)."""

from runners.checkpoint import save_checkpoint
from runners.stages import StageInput, StageOutput
from runners.training import train


def run(given: StageInput) -> StageOutput:
    """Train ``params["student"]`` from its initialization, with the reference as teacher."""
    loaded, student = given.loaded, given.params["student"]
    recipe = loaded.workload.recipe()
    model = loaded.build_model(student)
    metrics = train(
        model,
        loaded.data,
        loaded.workload.loss,
        epochs=recipe.distill_epochs,
        recipe=recipe,
        teacher_logits=given.teacher_logits(),
    )
    path = given.folder / "student.safetensors"
    save_checkpoint(model, path, student=student, pruning=[])
    return StageOutput(path, metrics)
