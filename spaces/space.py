"""The search space: axes, their product, and the rules that thin it."""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from paretune.spaces.axis import AXIS_NAMES, Axis, Value
from paretune.spaces.candidate import REFERENCE, Candidate
from paretune.spaces.errors import SpaceError
from paretune.spaces.graph_optimization import GraphOptimization
from paretune.spaces.quantization import Quantization
from paretune.spaces.rule import Rule

BASELINE_VALUES: dict[str, Value] = {
    "student": REFERENCE,
    "pruning_ratio": 0.0,
    "quantization": Quantization.FP32.value,
    "fp32_layer_share": 0.0,
    "graph_optimization": GraphOptimization.ALL.value,
}
"""The values of the uncompressed reference, run with defaults; every space includes them."""

OPTIONAL_AXES: dict[str, list[Value]] = {
    name: [BASELINE_VALUES[name]] for name in ("fp32_layer_share", "graph_optimization")
}
"""Defaults of the axes that a space may leave out, because they were added later."""


@dataclass(frozen=True)
class SearchSpace:
    """The search space.

    Attributes:
        axes: Every axis of :data:`AXIS_NAMES`, in that order. They include the values of
            :data:`BASELINE_VALUES`: trial 0 is always the baseline.
        rules: Functions that return the reason why a candidate is invalid, or ``None``.
    """

    axes: tuple[Axis, ...]
    rules: tuple[Rule, ...] = ()

    def __post_init__(self) -> None:
        names = tuple(axis.name for axis in self.axes)
        if names != AXIS_NAMES:
            raise SpaceError(f"a space has the axes {', '.join(AXIS_NAMES)}; got {names}")
        for name, value in BASELINE_VALUES.items():
            if value not in self.axis(name).values:
                raise SpaceError(
                    f"axis {name} must include {value!r}: trial 0 is always the uncompressed "
                    "baseline. Add it; a rule can exclude it from all other trials"
                )
        for axis in self.axes:
            for value in axis.values:
                Candidate.from_params(self.baseline.params | {axis.name: value})

    @classmethod
    def from_values(
        cls, values: Mapping[str, Sequence[Value]], rules: Sequence[Rule] = ()
    ) -> "SearchSpace":
        """Make a space from the values of each axis, by axis name.

        Without ``fp32_layer_share``, no layer stays in fp32, and without ``graph_optimization``,
        ONNX Runtime applies all optimizations.
        """
        values = {**OPTIONAL_AXES, **values}
        unknown = sorted(set(values) - set(AXIS_NAMES))
        missing = [name for name in AXIS_NAMES if name not in values]
        if unknown or missing:
            raise SpaceError(
                f"unknown axes: {unknown or 'none'}; missing axes: {missing or 'none'}"
            )
        return cls(tuple(Axis(name, tuple(values[name])) for name in AXIS_NAMES), tuple(rules))

    def with_rules(self, *rules: Rule) -> "SearchSpace":
        """Return the same space with more rules."""
        return replace(self, rules=(*self.rules, *rules))

    def axis(self, name: str) -> Axis:
        """Return the axis of that name."""
        return self.axes[AXIS_NAMES.index(name)]

    @property
    def size(self) -> int:
        """Number of combinations before rules."""
        return math.prod(len(axis.values) for axis in self.axes)

    @property
    def baseline(self) -> Candidate:
        """The uncompressed reference: smallest batch, first provider, fewest threads."""
        smallest = {axis.name: axis.values[0] for axis in self.axes}
        return Candidate.from_params(smallest | BASELINE_VALUES)

    def reason_against(self, candidate: Candidate) -> str | None:
        """Return why a candidate is invalid, or ``None`` if it is valid.

        The baseline is exempt from rules, because everything else is compared with it.
        """
        for name, value in candidate.params.items():
            if value not in self.axis(name).values:
                return f"{name} = {value!r} is outside the space: {list(self.axis(name).values)}"
        if candidate == self.baseline:
            return None
        return next((reason for rule in self.rules if (reason := rule(candidate))), None)

    def candidates(self) -> Iterator[Candidate]:
        """Yield every valid candidate, last axis fastest."""
        for values in itertools.product(*(axis.values for axis in self.axes)):
            candidate = Candidate.from_params(dict(zip(AXIS_NAMES, values, strict=True)))
            if self.reason_against(candidate) is None:
                yield candidate

    def informative(self) -> list[Candidate]:
        """Return the few valid candidates that say most about the space, the baseline first.

        They are the corners between which the frontier lies: the baseline, its static int8 form,
        each student as it is, the reference with maximum pruning, then the baseline in every other
        quantization, which shows those that do not work here.
        """
        base = self.baseline
        quantizations = self.axis("quantization").values
        builds: list[dict[str, Any]] = [{}]
        builds += [{"quantization": q} for q in quantizations if q == Quantization.INT8_STATIC]
        builds += [{"student": name} for name in self.axis("student").values]
        builds += [{"pruning_ratio": self.axis("pruning_ratio").values[-1]}]
        builds += [{"quantization": q} for q in quantizations]
        picked = [Candidate.from_params(base.params | build) for build in builds]
        return [c for c in dict.fromkeys(picked) if self.reason_against(c) is None]
