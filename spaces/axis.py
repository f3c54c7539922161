"""An axis: one knob of the search and the values it may take."""

from dataclasses import dataclass

from paretune.spaces.axes import AXES, OWN_AXES, Value
from paretune.spaces.candidate import split_target
from paretune.spaces.errors import SpaceError

BUILD_AXES = tuple(axis.name for axis in OWN_AXES if axis.is_build)
"""The axes that decide the artifact; the others decide how it is run."""

AXIS_NAMES = tuple(axis.name for axis in OWN_AXES)
"""The axes that every space has, in order."""


def known_axis(name: str) -> str:
    """Return the name of an axis.

    Raises:
        SpaceError: If there is none of that name; the message lists those there are.
    """
    if name not in AXES:
        raise SpaceError(f"unknown axis {name!r}: the axes are {', '.join(AXES.names)}")
    return name


@dataclass(frozen=True, slots=True)
class Axis:
    """One knob of the search.

    Attributes:
        name: The name of one of :data:`paretune.spaces.AXES`.
        values: The values to try, without repeats. Values of an ordered axis are sorted, so that
            neighbours in the tuple are neighbours in value.
    """

    name: str
    values: tuple[Value, ...]

    def __post_init__(self) -> None:
        record = AXES.get(known_axis(self.name))
        if self.name not in AXIS_NAMES and (record.is_build or record.baseline is None):
            raise SpaceError(
                f"axis {self.name} must have a baseline and `is_build=False`: an axis of another "
                "package can say how a file is run, but not what is built"
            )
        values = self.values
        if self.name == "execution_provider":
            values = tuple("/".join(split_target(str(value))) for value in values)
        elif record.is_share:
            values = tuple(float(value) for value in values)
        if not values:
            raise SpaceError(f"axis {self.name} has no values: list at least one")
        if len(set(values)) != len(values):
            raise SpaceError(f"axis {self.name} lists a value twice: {list(self.values)}")
        if record.is_ordered:
            wrong = [v for v in values if isinstance(v, str) or (isinstance(v, int) and v < 1)]
            if wrong:
                raise SpaceError(
                    f"axis {self.name} is ordered: its values must be fractions, or whole numbers "
                    f"of at least 1; got {wrong[0]!r}"
                )
            values = tuple(sorted(values))
        object.__setattr__(self, "values", values)

    @property
    def is_ordered(self) -> bool:
        """Whether neighbouring values behave alike (a count or a ratio, not a name)."""
        return AXES.get(self.name).is_ordered
