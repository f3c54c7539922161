"""Confirmed points in a study's attributes: a confirmation is stored completely or not at all.

Each confirmation writes its points under its own id, then the index that names them. A kill in
between leaves the last confirmation as it was, and some attributes that nothing refers to.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from paretune.search.record.confirmed import Confirmed

_INDEX = "paretune_confirmed"
_EARLIER = "earlier"


@dataclass(frozen=True)
class ConfirmedPoints:
    """The result of a confirmation.

    Attributes:
        points: The points, by trial number.
        trials: Number of trials in the study; 0 if it must be confirmed again.
        samples: The inputs of the points (see :class:`StoredSamples`); ``None`` if it was never
            confirmed.
        at: When it was stored, in seconds since 1970; ``None`` if an earlier version stored it.
        has_moved: Whether the frontier moved since the one before it, and was not searched on.
    """

    points: Sequence[Confirmed] = ()
    trials: int = 0
    samples: Mapping[str, Any] | None = None
    at: float | None = field(default=None, compare=False)
    has_moved: bool = False

    @property
    def fewest_launches(self) -> int:
        """The minimum number of launches of a point; 0 without points."""
        return min((point.measurement.launches for point in self.points), default=0)

    def __str__(self) -> str:
        return f"{len(self.points)} points with at least {self.fewest_launches} launches each"

    def may_replace(self, earlier: ConfirmedPoints) -> bool:
        """Tell whether an interrupted confirmation may replace another without a loss.

        It may if it has at least as many points, and none of those that both have with fewer
        launches.
        """
        then = {point.number: point.measurement.launches for point in earlier.points}
        return len(self.points) >= len(earlier.points) and all(
            point.measurement.launches >= then.get(point.number, 0) for point in self.points
        )

    def write(
        self, put: Callable[[str, Any], None], attributes: Mapping[str, Any] | None = None
    ) -> None:
        """Write it in place of the last confirmation, which the index then names as an earlier one.

        Args:
            put: Sets an attribute of the study durably.
            attributes: The study's attributes, with the last confirmation.
        """
        last = dict((attributes or {}).get(_INDEX) or {})
        earlier = [*last.pop(_EARLIER, []), *([last] if last else [])]
        campaign = uuid.uuid4().hex
        for point in self.points:
            put(_key(campaign, point.number), point.as_dict())
        numbers = [point.number for point in self.points]
        samples = None if self.samples is None else dict(self.samples)
        index = {"trials": self.trials, "numbers": numbers, "samples": samples}
        index |= {"campaign": campaign, "at": time.time(), "has_moved": self.has_moved}
        put(_INDEX, {**index, _EARLIER: earlier})

    @classmethod
    def read(cls, attributes: Mapping[str, Any]) -> ConfirmedPoints:
        """Return the last completely written confirmation; without points if there is none."""
        index = attributes.get(_INDEX)
        return cls() if index is None else cls._of(index, attributes)

    @classmethod
    def read_earlier(cls, attributes: Mapping[str, Any]) -> list[ConfirmedPoints]:
        """Return the confirmations before the last one, in order."""
        index = attributes.get(_INDEX) or {}
        return [cls._of(each, attributes) for each in index.get(_EARLIER, [])]

    @classmethod
    def _of(cls, index: Mapping[str, Any], attributes: Mapping[str, Any]) -> ConfirmedPoints:
        # Earlier versions kept one set of points, without an id.
        campaign = index.get("campaign")
        points = [
            Confirmed.from_dict(attributes[_key(campaign, number)]) for number in index["numbers"]
        ]
        return cls(
            points,
            index["trials"],
            index["samples"],
            index.get("at"),
            index.get("has_moved", False),
        )


def _key(campaign: str | None, number: int) -> str:
    return f"{_INDEX}:{number}" if campaign is None else f"{_INDEX}:{campaign}:{number}"
