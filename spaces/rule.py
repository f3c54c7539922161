"""Rules: reasons why a combination of values is not worth trying, in plain words.

A rule is any function that takes a candidate and returns the reason why it is invalid, or ``None``.
:class:`Forbid` is the rule that a study file can state.
"""

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from paretune.spaces.axes import AXES
from paretune.spaces.axis import known_axis
from paretune.spaces.candidate import Candidate, split_target
from paretune.spaces.errors import SpaceError

Rule = Callable[[Candidate], str | None]

_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "!=": operator.ne,
    "==": operator.eq,
    ">": operator.gt,
    "<": operator.lt,
}


@dataclass(frozen=True)
class Forbid:
    """Forbids the candidates that meet every condition.

    Attributes:
        when: A condition per axis: a value, a list of values (any of them), or a comparison as
            text, such as ``"> 0.5"``.
        reason: The reason, for people.
    """

    when: Mapping[str, Any]
    reason: str

    def __post_init__(self) -> None:
        if not self.when:
            raise SpaceError("a rule needs at least one axis in `forbid`")
        for axis, condition in self.when.items():
            _matches(known_axis(axis), condition, None)

    def can_match(self, values: Sequence[Any]) -> bool:
        """Tell whether every condition is met by one of these values of its axis."""
        return all(
            any(_matches(axis, want, value) for value in values) for axis, want in self.when.items()
        )

    def __call__(self, candidate: Candidate) -> str | None:
        """Return the reason if the candidate meets every condition, else ``None``."""
        params = candidate.params
        met = all(_matches(axis, want, params.get(axis)) for axis, want in self.when.items())
        return self.reason if met else None


@dataclass(frozen=True)
class ThreadLimit:
    """Forbids more threads, of all instances together, than the machine has cores.

    Attributes:
        cores: Cores that the measured process may use.
    """

    cores: int

    def __call__(self, candidate: Candidate) -> str | None:
        """Return the reason if the candidate asks for more threads than there are cores."""
        run = candidate.run
        threads = run.launch_threads
        if threads <= self.cores:
            return None
        said = f"{threads} threads"
        if threads == run.threads and run.instances > 1:
            said = f"{run.instances} instances × {run.intra_op_threads} threads"
        return f"{said} on {self.cores} cores would only wait for each other"


def whole_layers(candidate: Candidate) -> str | None:
    """Return the reason if layers shall stay in fp32 under a scheme that quantizes no layer."""
    build = candidate.build
    if build.fp32_layer_share == 0 or build.quantization.record.leaves_layers:
        return None
    return f"{build.quantization} quantizes no layer, so no layer can be left in fp32"


def _matches(axis: str, condition: Any, value: Any) -> bool:
    """Tell whether a value meets a condition; a value of ``None`` only checks the condition."""
    if isinstance(condition, list | tuple):
        matches = [_matches(axis, item, value) for item in condition]  # checks every item
        return any(matches)
    if isinstance(condition, str):
        for symbol, compare in _COMPARISONS.items():
            if condition.startswith(symbol):
                bound = _bound(axis, condition, condition[len(symbol) :].strip())
                return value is not None and compare(value, bound)
        if axis == "execution_provider":
            condition = "/".join(split_target(condition))
    return bool(value == condition)


def _bound(axis: str, condition: str, text: str) -> float:
    if not AXES.get(axis).is_ordered:
        raise SpaceError(
            f"rule on {axis}: {condition!r} is a comparison, but {axis} has names, not numbers; "
            "write a name or a list of names"
        )
    try:
        return float(text)
    except ValueError:
        raise SpaceError(
            f"rule on {axis}: {condition!r} compares with {text!r}, which is not a number"
        ) from None
