"""Stage "reference": the user's own trained model."""

from paretune.runners.build.checkpoint import save_checkpoint
from paretune.runners.build.stages import StageInput, StageOutput
from paretune.spaces import REFERENCE


def run(given: StageInput) -> StageOutput:
    """Build the reference, and let the workload set its trained weights unless it has them."""
    loaded = given.loaded
    model = loaded.build_model(REFERENCE)
    if loaded.origin(REFERENCE) != "trained":
        loaded.workload.train_reference(model, loaded.data)
    path = given.folder / "reference.safetensors"
    save_checkpoint(model.cpu().eval(), path, student=REFERENCE, pruning=[])
    return StageOutput(path)
