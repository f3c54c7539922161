"""Stage "prune": removes whole channels and heads, so that the exported model is smaller."""

from torch import Tensor, nn

from paretune.runners.build.checkpoint import load_checkpoint, save_checkpoint
from paretune.runners.build.loss_gradients import loss_gradients
from paretune.runners.build.pruning import Pruning
from paretune.runners.build.stages import StageInput, StageOutput
from paretune.runners.build.tracing import example_inputs
from paretune.runners.failure import FailureKind, StageError
from paretune.runners.workload.loaded import LoadedWorkload

_TOLD = 4
"""Layers that are named where all would be too many."""

_ACHIEVED = 0.02
"""A share of removed channels that differs by more from what was asked is told."""


def run(given: StageInput) -> StageOutput:
    """Remove ``params["pruning_ratio"]`` of each layer's channels, and of its heads if it has any.

    The number of remaining channels is the nearest multiple of the recipe's ``width_multiple``.
    Those go first without which the training loss changes least.
    Layers without whose channels the model does not run are left as they are, and named in the
    record.
    """
    loaded, ratio = given.loaded, given.params["pruning_ratio"]
    workload = loaded.workload
    model, student, history = load_checkpoint(loaded, given.parent_file)
    gradients, notes = _gradients(loaded, model)
    pruned = Pruning(
        fresh=lambda: load_checkpoint(loaded, given.parent_file)[0],
        example=example_inputs(loaded),
        ratio=ratio,
        multiple=workload.recipe().width_multiple,
        kept=workload.keep_layers,
        heads=workload.attention_heads,
        gradients=gradients,
    ).run()
    before, after = _parameters(model), _parameters(pruned.model)
    whole = ", ".join(pruned.kept_whole[:_TOLD]) + ", …" * (len(pruned.kept_whole) > _TOLD)
    if after == before:
        why = (
            f"the model does not run without a channel of {whole} ({pruned.reason}): what follows "
            "them must take its width from its input, not from a number"
            if whole
            else "every layer computes an output or is named by keep_layers(), or is too narrow"
        )
        raise StageError(
            FailureKind.UNSUPPORTED,
            f"pruning {ratio:g} of {student!r} removes no channel: {why}; leave pruning_ratio at 0",
        )
    path = given.folder / "pruned.safetensors"
    save_checkpoint(pruned.model, path, student=student, pruning=history + pruned.history)
    removed = removed_share(model, pruned.model)
    metrics = {
        "parameters_before": before,
        "parameters_after": after,
        "channelsremoved_share": removed,
        "layers_kept_whole": float(len(pruned.kept_whole)),
    }
    if whole:
        notes.append(f"kept whole, because the model does not run otherwise: {whole}")
    if abs(removed - ratio) > _ACHIEVED:
        notes.append(f"{removed:.0%} of the channels were removed, not {ratio:.0%}")
    return StageOutput(path, metrics, notes=notes)


def _gradients(loaded: LoadedWorkload, model: nn.Module) -> tuple[dict[str, Tensor], list[str]]:
    """Return the loss's gradients, and why they are not known if so."""
    try:
        gradients, why = loss_gradients(loaded, model), "the loss's gradients are not known"
    except Exception as error:  # the user's loss may need what a training alone gives it
        gradients, why = {}, f"loss() failed without a teacher: {type(error).__name__}: {error}"
    notes = [] if gradients else [f"channels are ranked by the norm of their weights: {why}"]
    return gradients, notes


def _parameters(model: nn.Module) -> float:
    return float(sum(parameter.numel() for parameter in model.parameters()))


def removed_share(model: nn.Module, pruned: nn.Module) -> float:
    """Return the share of output channels removed from the layers that lost some."""
    after = dict(pruned.named_parameters())
    widths = [
        (len(each), len(after[name]))
        for name, each in model.named_parameters()
        if each.ndim > 1 and name in after and len(after[name]) < len(each)
    ]
    return 1 - sum(new for _, new in widths) / sum(old for old, _ in widths) if widths else 0.0
