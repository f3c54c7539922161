"""The search space: axes, their product, and the rules that thin it."""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from paretune.spaces.axes import AXES, OWN_AXES, Value
from paretune.spaces.axis import AXIS_NAMES, Axis
from paretune.spaces.candidate import Candidate
from paretune.spaces.errors import SpaceError
from paretune.spaces.rule import Rule
from paretune.spaces.scheme import SCHEMES

BASELINE_VALUES: dict[str, Value] = {
    axis.name: axis.baseline for axis in OWN_AXES if axis.baseline is not None
}
"""The values of the uncompressed reference, run with defaults; every space includes them."""

OPTIONAL_AXES: dict[str, list[Value]] = {
    axis.name: [BASELINE_VALUES[axis.name]] for axis in OWN_AXES if axis.is_optional
}
"""Defaults of the axes that a space may leave out, because they were added later."""


@dataclass(frozen=True)
class SearchSpace:
    """The search space.

    Attributes:
        axes: Every axis of :data:`paretune.spaces.AXIS_NAMES`, in that order, then the registered
            ones. They include the baseline's values: trial 0 is always the baseline.
        rules: Functions that return the reason why a candidate is invalid, or ``None``.
    """

    axes: tuple[Axis, ...]
    rules: tuple[Rule, ...] = ()

    def __post_init__(self) -> None:
        names = tuple(axis.name for axis in self.axes)
        if names[: len(AXIS_NAMES)] != AXIS_NAMES or len(set(names)) < len(names):
            raise SpaceError(f"a space has the axes {', '.join(AXIS_NAMES)}; got {names}")
        for name, value in self._baseline_values.items():
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
        names = [*AXIS_NAMES, *(name for name in AXES.names if name in {*values} - {*AXIS_NAMES})]
        unknown = sorted(set(values) - set(names))
        missing = [name for name in AXIS_NAMES if name not in values]
        if unknown or missing:
            raise SpaceError(
                f"unknown axes: {unknown or 'none'}; missing axes: {missing or 'none'}"
            )
        return cls(tuple(Axis(name, tuple(values[name])) for name in names), tuple(rules))

    def with_rules(self, *rules: Rule) -> "SearchSpace":
        """Return the same space with more rules."""
        return replace(self, rules=(*self.rules, *rules))

    def axis(self, name: str) -> Axis:
        """Return the axis of that name."""
        return next(axis for axis in self.axes if axis.name == name)

    @property
    def _baseline_values(self) -> dict[str, Value]:
        """The baseline's values on the axes that have such a value."""
        records = [AXES.get(axis.name) for axis in self.axes]
        return {each.name: each.baseline for each in records if each.baseline is not None}

    @cached_property
    def _values(self) -> dict[str, frozenset[Value]]:
        """The values of each axis, by its name: asked for thousands of candidates per proposal."""
        return {axis.name: frozenset(axis.values) for axis in self.axes}

    @property
    def size(self) -> int:
        """Number of combinations before rules."""
        return math.prod(len(axis.values) for axis in self.axes)

    @cached_property
    def baseline(self) -> Candidate:
        """The uncompressed reference: smallest batch, first provider, fewest threads."""
        smallest = {axis.name: axis.values[0] for axis in self.axes}
        return Candidate.from_params(smallest | self._baseline_values)

    def reason_against(self, candidate: Candidate) -> str | None:
        """Return why a candidate is invalid, or ``None`` if it is valid.

        The baseline is exempt from rules, because everything else is compared with it.
        """
        params, known = candidate.params, self._values
        if params.keys() != known.keys():
            return f"it has the axes {', '.join(params)}; the space has {', '.join(known)}"
        for name, value in params.items():
            if value not in known[name]:
                return f"{name} = {value!r} is outside the space: {list(self.axis(name).values)}"
        if candidate == self.baseline:
            return None
        return next((reason for rule in self.rules if (reason := rule(candidate))), None)

    def candidates(self) -> Iterator[Candidate]:
        """Yield every valid candidate, last axis fastest."""
        names = [axis.name for axis in self.axes]
        for values in itertools.product(*(axis.values for axis in self.axes)):
            candidate = Candidate.from_params(dict(zip(names, values, strict=True)))
            if self.reason_against(candidate) is None:
                yield candidate

    def informative(self) -> list[Candidate]:
        """Return the few valid candidates that say most about the space, the baseline first.

        They are the corners between which the frontier lies: the baseline, the same on every other
        back end, its forms in the best general quantizations on every back end that takes them,
        each student as it is, the reference with maximum pruning, then the baseline in every other
        quantization, which shows those that do not work here. These run on the first back end that
        takes them.
        """
        base = self.baseline
        targets = self.axis("execution_provider").values
        quantizations = self.axis("quantization").values
        builds: list[dict[str, Any]] = [{}]
        builds += [{"execution_provider": target} for target in targets]
        general = [q for q in quantizations if SCHEMES.get(str(q)).is_informative]
        builds += [
            {"quantization": q, "execution_provider": target} for q in general for target in targets
        ]
        builds += [{"student": name} for name in self.axis("student").values]
        builds += [{"pruning_ratio": self.axis("pruning_ratio").values[-1]}]
        builds += [{"quantization": q} for q in quantizations]
        picked = [self._first_valid(base.params | build, targets) for build in builds]
        return [candidate for candidate in dict.fromkeys(picked) if candidate is not None]

    def _first_valid(
        self, params: Mapping[str, Value], targets: Sequence[Value]
    ) -> Candidate | None:
        """Return the first valid candidate with these values, else on other back ends."""
        for target in (params["execution_provider"], *targets):
            candidate = Candidate.from_params({**params, "execution_provider": target})
            if self.reason_against(candidate) is None:
                return candidate
        return None
