"""Students derived from the reference: narrower, shallower, or both."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import pairwise, product
from typing import TYPE_CHECKING, Any

from paretune.runners.workload.students.student import inheriting
from paretune.spaces import REFERENCE, WorkloadError

if TYPE_CHECKING:
    from torch import nn

WIDTHS = ("width", "d_model", "hidden_size", "hidden_dim", "hidden", "channels", "dim")
DEPTHS = ("depth", "num_layers", "n_layers", "num_hidden_layers", "layers", "num_blocks", "blocks")
HEADS = ("heads", "num_heads", "n_heads", "nhead", "num_attention_heads")

_NAMES = {0.5: "half", 0.25: "quarter"}


def scaled(
    reference: Callable[..., nn.Module],
    *,
    width: str | None = None,
    depth: str | None = None,
    widths: Sequence[float] = (0.5, 0.25),
    depths: Sequence[float] = (0.5, 0.25),
    multiple: int = 8,
    inherit: bool = True,
) -> dict[str, Callable[[], nn.Module]]:
    """Return the reference and students of a share of its width, of its depth, or of both.

    ``scaled(partial(Net, width=512, depth=4))`` is all that :meth:`Workload.models` needs. If the
    class takes no depth, layers are left out, every other one or three of four, as in DistilBERT
    (Sanh et al., 2019, https://arxiv.org/abs/1910.01108): layers of the longest ``nn.ModuleList``
    or ``nn.Sequential`` whose modules are all of one class. If that is not a stack of layers (but
    heads or tables, say), write the students by hand.

    Args:
        reference: The model's class, or a ``functools.partial`` of it, with integers (given, or as
            defaults) for its width and depth.
        width: The argument that is its width; one of :data:`WIDTHS` by default.
        depth: The argument that is its depth; one of :data:`DEPTHS` by default.
        widths: Shares of the width that students have, in (0, 1); there is a student of every
            width with every depth, the reference's own included.
        depths: The same of the depth.
        multiple: Widths are multiples of this, and of the number of heads if an argument is one
            (:data:`HEADS`).
        inherit: Whether students start from the reference's weights, as far as they fit
            (:func:`paretune.inheriting`), and not from noise.

    Returns:
        Constructors by name, the largest first: ``reference``, ``half-depth``, ``half-width``,
        ``half`` (of both), ``half-width-quarter-depth``, ``quarter`` and so on, or ``0.75-width``;
        students that are not smaller than another are left out.

    Raises:
        WorkloadError: If nothing can be scaled, or a share is not between 0 and 1.
    """
    if wrong := [share for share in (*widths, *depths) if not 0 < share < 1]:
        raise WorkloadError(
            f"scaled(): widths and depths are shares of the reference's, between 0 and 1; got "
            f"{wrong[0]!r}"
        )
    given = _numbers(reference)
    width, depth = (
        _named(given, name, names) for name, names in ((width, WIDTHS), (depth, DEPTHS))
    )
    heads = given.get(_named(given, None, HEADS) or "") or 1
    step = math.lcm(multiple, heads)
    found: dict[str, Callable[[], nn.Module]] = {REFERENCE: reference}
    shapes: set[tuple[Any, ...]] = {(given.get(width or ""), given.get(depth or ""), 0)}
    blocks = 0 if depth else _blocks(reference())
    pairs = product(sorted({1.0, *widths}, reverse=True), sorted({1.0, *depths}, reverse=True))
    # Weights grow with the square of the width.
    for broad, deep in sorted(pairs, key=lambda pair: pair[0] ** 2 * pair[1], reverse=True):
        change: dict[str, int] = {}
        if width and broad < 1:
            change[width] = max(step, round(given[width] * broad / step) * step)
        if depth and deep < 1:
            change[depth] = max(1, round(given[depth] * deep))
        kept = max(1, round(blocks * deep)) if blocks > 1 and deep < 1 else 0
        values = given | change
        shape = (values.get(width or ""), values.get(depth or ""), kept)
        if shape in shapes or any(values[key] > given[key] for key in change):
            continue
        shapes.add(shape)
        smaller = partial(reference, **change)
        student = partial(_with_blocks, smaller, kept) if kept else smaller
        found[_name(broad, deep)] = inheriting(student) if inherit else student
    if len(found) == 1:
        raise WorkloadError(
            "scaled() cannot derive students: the model has no run of similar blocks, and none of "
            f"its whole numbers ({', '.join(given) or 'it takes none'}) is known as a width "
            f"({', '.join(WIDTHS)}) or a depth ({', '.join(DEPTHS)}). Name the arguments, "
            "scaled(..., width=ARGUMENT, depth=ARGUMENT), or write the students into models()"
        )
    return found


def _name(width: float, depth: float) -> str:
    """Return a student's name, by its shares of the reference's width and depth."""
    broad, deep = (_NAMES.get(share, f"{share:g}") for share in (width, depth))
    if width == depth:
        return broad
    parts = (f"{broad}-width", f"{deep}-depth")
    return "-".join(part for part, share in zip(parts, (width, depth), strict=True) if share < 1)


def _numbers(reference: Callable[..., nn.Module]) -> dict[str, int]:
    """Return the integer arguments of a constructor, given or as defaults."""
    parameters = inspect.signature(reference).parameters
    return {
        name: each.default
        for name, each in parameters.items()
        if isinstance(each.default, int) and not isinstance(each.default, bool)
    }


def _named(given: Mapping[str, int], name: str | None, names: tuple[str, ...]) -> str | None:
    if name is not None and name not in given:
        raise WorkloadError(
            f"scaled(): the model takes no integer {name!r}, given or as a default; it takes "
            f"{', '.join(given) or 'none'}"
        )
    return name or next((each for each in names if each in given), None)


def _run_of_blocks(model: nn.Module) -> nn.ModuleList | nn.Sequential | None:
    """Return the container with the longest run of blocks of one class, if one has any."""
    from torch import nn

    containers = [m for m in model.modules() if isinstance(m, nn.ModuleList | nn.Sequential)]
    alike = [
        container
        for container in containers
        if len(container) > 1
        and all(type(a) is type(b) and _shapes(a) == _shapes(b) for a, b in pairwise(container))
        and _shapes(container[0])
    ]
    return max(alike, key=len, default=None)


def _shapes(module: nn.Module) -> list[tuple[int, ...]]:
    return [tuple(parameter.shape) for parameter in module.parameters()]


def _blocks(model: nn.Module) -> int:
    container = _run_of_blocks(model)
    return 0 if container is None else len(container)


def _with_blocks(reference: Callable[[], nn.Module], kept: int) -> nn.Module:
    """Build a model and keep that many of its blocks, evenly spread."""
    model = reference()
    container = _run_of_blocks(model)
    if container is not None:
        count = len(container)
        wanted = {round(place * count / kept) for place in range(kept)}
        for place in sorted(set(range(count)) - wanted, reverse=True):
            del container[place]
    return model
