"""An axis: one knob of the search and the values it may take."""

from dataclasses import dataclass

from paretune.spaces.candidate import split_target
from paretune.spaces.errors import SpaceError

Value = str | int | float

ORDERED_AXES = ("pruning_ratio", "fp32_layer_share", "batch_size", "intra_op_threads")
BUILD_AXES = ("student", "pruning_ratio", "quantization", "fp32_layer_share")
"""The axes that decide the artifact; the others decide how it is run."""

AXIS_NAMES = (
    *BUILD_AXES,
    "batch_size",
    "execution_provider",
    "intra_op_threads",
    "graph_optimization",
)


@dataclass(frozen=True, slots=True)
class Axis:
    """One knob of the search.

    Attributes:
        name: One of :data:`AXIS_NAMES`.
        values: The values to try, without repeats. Values of an ordered axis are sorted, so that
            neighbours in the tuple are neighbours in value.
    """

    name: str
    values: tuple[Value, ...]

    def __post_init__(self) -> None:
        if self.name not in AXIS_NAMES:
            raise SpaceError(f"unknown axis {self.name!r}: the axes are {', '.join(AXIS_NAMES)}")
        values = self.values
        if self.name == "execution_provider":
            values = tuple("/".join(split_target(str(value))) for value in values)
        elif self.name in ("pruning_ratio", "fp32_layer_share"):
            values = tuple(float(value) for value in values)
        if not values:
            raise SpaceError(f"axis {self.name} has no values: list at least one")
        if len(set(values)) != len(values):
            raise SpaceError(f"axis {self.name} lists a value twice: {list(self.values)}")
        if self.is_ordered:
            values = tuple(sorted(values))
        object.__setattr__(self, "values", values)

    @property
    def is_ordered(self) -> bool:
        """Whether neighbouring values behave alike (a count or a ratio, not a name)."""
        return self.name in ORDERED_AXES
