"""Stage "prune": removes whole channels and heads, so that the exported model is smaller."""

from torch import nn

from paretune.runners.build.checkpoint import load_checkpoint, save_checkpoint
from paretune.runners.build.pruning import Pruning
from paretune.runners.build.stages import StageInput, StageOutput
from paretune.runners.build.tracing import example_inputs
from paretune.runners.failure import FailureKind, StageError

_TOLD = 4
"""Layers that are named where all would be too many."""


def run(given: StageInput) -> StageOutput:
    """Remove ``params["pruning_ratio"]`` of each layer's channels, and of its heads if it has any.

    The number of remaining channels is the nearest multiple of the recipe's ``width_multiple``.
    Layers without whose channels the model does not run are left as they are, and named in the
    record.
    """
    loaded, ratio = given.loaded, given.params["pruning_ratio"]
    workload = loaded.workload
    model, student, history = load_checkpoint(loaded, given.parent_file)
    pruned = Pruning(
        fresh=lambda: load_checkpoint(loaded, given.parent_file)[0],
        example=example_inputs(loaded),
        ratio=ratio,
        multiple=workload.recipe().width_multiple,
        kept=workload.keep_layers,
        heads=workload.attention_heads,
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
    metrics = {
        "parameters_before": before,
        "parameters_after": after,
        "channels_removed_share": _removed_share(model, pruned.model),
        "layers_kept_whole": float(len(pruned.kept_whole)),
    }
    notes = [f"kept whole, because the model does not run otherwise: {whole}"] if whole else []
    return StageOutput(path, metrics, notes=notes)


def _parameters(model: nn.Module) -> float:
    return float(sum(parameter.numel() for parameter in model.parameters()))


def _removed_share(model: nn.Module, pruned: nn.Module) -> float:
    """Return the share of output channels removed from the layers that lost some."""
    after = dict(pruned.named_parameters())
    widths = [
        (len(each), len(after[name]))
        for name, each in model.named_parameters()
        if each.ndim > 1 and name in after and len(after[name]) < len(each)
    ]
    return 1 - sum(new for _, new in widths) / sum(old for old, _ in widths) if widths else 0.0
