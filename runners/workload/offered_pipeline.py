"""What a pipeline file offers a study, read from its text: axes, and names of parts.

The file itself is imported by the process that is timed, whose interpreter may be another: what a
study needs to know of it must not depend on that.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from paretune.runners.metric import PIPELINE_PERCENTILES, part_latency
from paretune.spaces import WorkloadError
from paretune.spaces.axes import WORKERS, Value

_MODEL = "model"


@dataclass(frozen=True)
class OfferedPipeline:
    """The axes and parts of a pipeline file.

    Attributes:
        axes: The values that it offers, by axis; the first is the baseline's.
        parts: Names of the parts that are timed apart, in order, ``model`` among them.
    """

    axes: Mapping[str, tuple[Value, ...]] = field(default_factory=dict)
    parts: tuple[str, ...] = (_MODEL,)

    @classmethod
    def of(cls, file: Path) -> OfferedPipeline:
        """Read a pipeline file.

        Raises:
            WorkloadError: If it is not Python, or its ``AXES`` are not written as they must be.
        """
        try:
            body = ast.parse(file.read_text("utf-8"), str(file)).body
        except (OSError, SyntaxError, ValueError) as error:
            raise WorkloadError(f"the pipeline {file} cannot be read: {error}") from error
        assigned: dict[str, ast.expr] = {}
        for node in body:
            targets = node.targets if isinstance(node, ast.Assign) else []
            if isinstance(node, ast.AnnAssign):
                targets = [node.target]
            value = getattr(node, "value", None)
            if value is not None:
                assigned |= {each.id: value for each in targets if isinstance(each, ast.Name)}
        before, after = (_parts(assigned.get(name)) for name in ("preprocess", "postprocess"))
        axes = _axes(file, assigned["AXES"]) if "AXES" in assigned else {}
        return cls(axes, (*before, _MODEL, *after))

    @property
    def baseline(self) -> dict[str, Value]:
        """The value of each axis with which the service runs today."""
        return {name: values[0] for name, values in self.axes.items()}

    @property
    def metrics(self) -> list[str]:
        """The metrics of its parts."""
        return [part_latency(part, f"p{q}") for part in self.parts for q in PIPELINE_PERCENTILES]

    def mistake(self, axis: str, values: Sequence[Value]) -> tuple[str, str] | None:
        """Return what is wrong with a study's values of an axis, and how to fix it."""
        if axis not in self.axes:
            offered = f"AXES there has {', '.join(self.axes)}" if self.axes else "it has no AXES"
            return f"the workload's pipeline offers no axis {axis!r}", offered
        known = self.axes[axis]
        if unknown := [value for value in values if value not in known]:
            return (
                f"the pipeline offers no value {unknown[0]!r}",
                f"its values are {', '.join(map(repr, known))}",
            )
        if values[0] != known[0]:
            return (
                f"must begin with {known[0]!r}, the pipeline's own first value: with it the "
                f"baseline is served; got {values[0]!r}",
                "put it first",
            )
        return None


def _parts(written: ast.expr | None) -> list[str]:
    """Return the names of the functions of a list; none of anything else."""
    if not isinstance(written, ast.List | ast.Tuple):
        return []
    names = [getattr(each, "id", getattr(each, "attr", "")) for each in written.elts]
    return [name for name in names if name]


def _axes(file: Path, written: ast.expr) -> dict[str, tuple[Value, ...]]:
    rule = (
        f"{file}: AXES must be written out as names with lists of texts or numbers, the value that "
        'is served today first, such as AXES = {"image_decoder": ["pil", "opencv"]}'
    )
    try:
        axes: Any = ast.literal_eval(written)
    except ValueError as error:
        raise WorkloadError(rule) from error
    if not isinstance(axes, dict):
        raise WorkloadError(f"{rule}; got {axes!r}")
    for name, values in axes.items():
        is_list = isinstance(values, list | tuple) and len(values) > 0
        if not (isinstance(name, str) and name.isidentifier() and is_list):
            raise WorkloadError(f"{rule}; got {name!r}: {values!r}")
        for value in values:
            if isinstance(value, bool) or not isinstance(value, str | int | float):
                raise WorkloadError(f"{rule}; got {value!r} for {name}")
            if name == WORKERS and not (isinstance(value, int) and value >= 1):
                raise WorkloadError(
                    f"{file}: {WORKERS} counts threads, whole numbers of at least 1; got {value!r}"
                )
    return {name: tuple(values) for name, values in axes.items()}
