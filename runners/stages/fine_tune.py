"""Stage "fine-tune": a pruned model recovers what it lost, with the reference as teacher."""

from runners.checkpoint import load_checkpoint, save_checkpoint
from runners.stages import StageInput, StageOutput
from runners.training import train


def run(given: StageInput) -> StageOutput:
    """Train the pruned model on, at a third of the peak learning rate."""
    loaded = given.loaded
    recipe = loaded.workload.recipe()
    model, student, pruning = load_checkpoint(loaded, given.parent_file)
    metrics = train(
        model,
        loaded.data,
        loaded.workload.loss,
        epochs=recipe.fine_tune_epochs,
        recipe=recipe,
        peak_learning_rate=recipe.learning_rate / 3,
        teacher_logits=given.teacher_logits(),
    )
    path = given.folder / "fine_tuned.safetensors"
    save_checkpoint(model, path, student=student, pruning=pruning)
    return StageOutput(path, metrics)
