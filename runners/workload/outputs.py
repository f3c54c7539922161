"""A model's outputs by name, whatever it returns."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paretune.spaces import WorkloadError

OUTPUT = "output"
"""Name of a single output that has none of its own; further ones are ``output_1``, …"""


def named_outputs(value: Any) -> dict[str, Any]:
    """Return what a model returns as a mapping from name to tensor (or array).

    A tensor is ``output``; a tuple or list gives ``output``, ``output_1``, …; a mapping (also a
    ``ModelOutput``), a named tuple and a dataclass give their names. What is nested in a name takes
    it as prefix: ``{"boxes": (a, b)}`` gives ``boxes`` and ``boxes_1``. A list of one mapping, as
    detectors return it for one picture, gives the mapping's names. ``None`` and what is no tensor
    (a cache object, a number) is left out. ONNX files have the same names in the same order.

    Raises:
        WorkloadError: If there is no tensor in it, or two have one name.
    """
    found: dict[str, Any] = {}
    for name, tensor in _leaves(value, ""):
        if name in found:
            raise WorkloadError(f"two outputs of the model are called {name!r}: rename one of them")
        found[name] = tensor
    if not found:
        raise WorkloadError(
            f"the model returns {type(value).__name__} without a tensor in it: return a tensor, or "
            "a tuple or mapping of tensors"
        )
    return found


def first_output(outputs: Mapping[str, Any]) -> Any:
    """Return the first of a model's outputs: the one that is meant where one is asked for."""
    return next(iter(outputs.values()))


def only_or_all(outputs: Mapping[str, Any]) -> Any:
    """Return a model's only output, or the mapping of several: what losses are given."""
    return first_output(outputs) if len(outputs) == 1 else dict(outputs)


def stored_outputs(folder: Path, names: Sequence[str] = ()) -> Iterator[dict[str, NDArray[Any]]]:
    """Yield the outputs of one batch after the other, as a launch has written them.

    Args:
        folder: Its files: ``names.json``, and for each output batches of ``.npy`` in a row.
        names: Names for the outputs, in order; by default those that the runtime gave them.
    """
    told: list[str] = json.loads((folder / "names.json").read_text("utf-8"))
    names = names if len(names) == len(told) else told
    with ExitStack() as stack:
        files = [
            stack.enter_context((folder / f"{place}.npy").open("rb")) for place in range(len(names))
        ]
        size = (folder / "0.npy").stat().st_size
        while files[0].tell() < size:
            yield {
                name: np.load(file, allow_pickle=False)
                for name, file in zip(names, files, strict=True)
            }


def whole_outputs(folder: Path) -> list[NDArray[Any]]:
    """Return all of a few samples' outputs, in order; flat where the samples' shapes differ."""
    batches = [list(batch.values()) for batch in stored_outputs(folder)]
    found = []
    for parts in zip(*batches, strict=True):
        is_even = len({part.shape[1:] for part in parts}) == 1
        found.append(np.concatenate(parts if is_even else [part.ravel() for part in parts]))
    return found


def _leaves(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Yield every tensor in a value with its name, depth first."""
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        yield name or OUTPUT, value
    elif isinstance(value, Mapping):
        for key, each in value.items():
            yield from _leaves(each, f"{name}_{key}" if name else str(key))
    elif is_dataclass(value) and not isinstance(value, type):
        named = {each.name: getattr(value, each.name) for each in fields(value)}
        yield from _leaves(named, name)
    elif isinstance(value, tuple) and hasattr(value, "_fields"):
        yield from _leaves(dict(zip(value._fields, value, strict=True)), name)
    elif isinstance(value, list) and len(value) == 1 and isinstance(value[0], Mapping):
        yield from _leaves(value[0], name)
    elif isinstance(value, tuple | list):
        tensors = [each for item in value for _, each in _leaves(item, "")]
        for place, tensor in enumerate(tensors):
            yield (name or OUTPUT) + (f"_{place}" if place else ""), tensor
