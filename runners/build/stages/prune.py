"""Stage "prune": removes whole channels and heads, so that the exported model is smaller."""

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from paretune.runners.build.checkpoint import load_checkpoint, save_checkpoint
from paretune.runners.build.pruning import Pruned, Pruning
from paretune.runners.build.reconstruction import make_up, train_inputs
from paretune.runners.build.stages import StageInput, StageOutput
from paretune.runners.build.tracing import example_inputs
from paretune.runners.failure import FailureKind, StageError
from paretune.runners.workload.learning.forward import forward
from paretune.runners.workload.loaded import LoadedWorkload

_TOLD = 4
"""Layers that are named where all would be too many."""

_ACHIEVED = 0.02
"""A share of removed channels that differs by more from what was asked is told."""


def run(given: StageInput) -> StageOutput:
    """Remove ``params["pruning_ratio"]`` of each layer's channels, and of its heads if it has any.

    The number of remaining channels is the nearest multiple of the recipe's ``width_multiple``.
    Layers without whose channels the model does not run are left as they are, and named in the
    record. What follows a pruned layer makes up for it as far as it can (see ``reconstruction``).
    """
    loaded, ratio = given.loaded, given.params["pruning_ratio"]
    model, student, history = load_checkpoint(loaded, given.parent_file)

    def fresh() -> nn.Module:
        return load_checkpoint(loaded, given.parent_file)[0]

    pruned = pruned_copy(loaded, fresh, ratio)
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
    errors = made_up(loaded, model, pruned, fresh)
    path = given.folder / "pruned.safetensors"
    save_checkpoint(pruned.model, path, student=student, pruning=history + pruned.history)
    removed = removed_share(model, pruned.model)
    metrics = {
        "parameters_before": before,
        "parameters_after": after,
        "channels_removed_share": removed,
        "layers_kept_whole": float(len(pruned.kept_whole)),
        "output_error_plain": errors[0],
        "output_error": min(errors),
    }
    notes = [f"kept whole, because the model does not run otherwise: {whole}"] if whole else []
    if abs(removed - ratio) > _ACHIEVED:
        notes.append(f"{removed:.0%} of the channels were removed, not {ratio:.0%}")
    return StageOutput(path, metrics, notes=notes)


def pruned_copy(loaded: LoadedWorkload, fresh: Callable[[], nn.Module], ratio: float) -> Pruned:
    """Return a copy of a model, which ``fresh`` makes, with a share of its channels removed."""
    workload = loaded.workload
    return Pruning(
        fresh=fresh,
        example=example_inputs(loaded),
        ratio=ratio,
        multiple=workload.recipe().width_multiple,
        kept=workload.keep_layers,
        heads=workload.attention_heads,
    ).run()


def made_up(
    loaded: LoadedWorkload, model: nn.Module, pruned: Pruned, fresh: Callable[[], nn.Module]
) -> tuple[float, float]:
    """Let what follows the removed channels make up for them, in place, if that helps.

    Args:
        loaded: The workload.
        model: The model before.
        pruned: The pruned model.
        fresh: Returns a new copy of the model before.

    Returns:
        The error of the outputs, relative to the model's before, without and with that.
    """
    plain = copy.deepcopy(pruned.model.state_dict())
    batch = next(train_inputs(loaded))
    without = _error(model, pruned.model, batch)
    make_up(pruned, fresh, example_inputs(loaded), train_inputs(loaded))
    with_it = _error(model, pruned.model, batch)
    if not with_it <= without:
        pruned.model.load_state_dict(plain)
    return without, with_it


def _error(model: nn.Module, other: nn.Module, batch: dict[str, Tensor]) -> float:
    """Return the root mean square of what changes in the outputs, relative to them."""
    with torch.no_grad():
        right, found = (forward(each, batch) for each in (model, other))
    wrong = sum(float((found[name] - each).double().square().sum()) for name, each in right.items())
    power = sum(float(each.double().square().sum()) for each in right.values())
    return (wrong / power) ** 0.5 if power else 0.0


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
