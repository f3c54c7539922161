"""Attention heads in models of Hugging Face Transformers."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

_PROJECTIONS = frozenset(
    {"query", "key", "value", *(f"{one}_{kind}" for one in "qkv" for kind in ("proj", "lin"))}
)
_HEAD_SIZES = ("attention_head_size", "head_dim")


def heads_of_transformers(model: nn.Module) -> dict[nn.Module, int]:
    """Return the number of heads of each query, key and value projection of Transformers' models.

    Their attention modules keep the size of a head and take the number of heads from the
    projections' width, so that whole heads can be removed. Other packages' modules are left out:
    many of them keep the number instead, and would divide what is left into other heads.
    """
    from torch import nn

    found: dict[nn.Module, int] = {}
    for module in model.modules():
        if not type(module).__module__.startswith("transformers."):
            continue
        sizes = (getattr(module, name, None) for name in _HEAD_SIZES)
        size = next((each for each in sizes if isinstance(each, int) and each > 0), None)
        if size is None:
            continue
        for name, layer in module.named_children():
            if name in _PROJECTIONS and isinstance(layer, nn.Linear):
                found[layer] = layer.out_features // size
    return found
