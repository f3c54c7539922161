"""Confirmed points in a study's attributes: a confirmation is there as a whole, or not at all.

Each confirmation writes its points under an id of its own, then the index that names them: killed
in between, it leaves the last one as it was, and some attributes that nothing names.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from paretune.search.record.confirmed import Confirmed

_INDEX = "paretune_confirmed"


@dataclass(frozen=True)
class ConfirmedPoints:
    """What a confirmation found.

    Attributes:
        points: The points, by trial number.
        trials: How many trials the study had; 0 if it is to be confirmed again.
        samples: What the points were run on (see ``Samples.as_dict``); ``None`` if it was never
            confirmed.
    """

    points: Sequence[Confirmed] = ()
    trials: int = 0
    samples: Mapping[str, Any] | None = None

    @property
    def fewest_launches(self) -> int:
        """The launches of the point that has fewest; 0 without points."""
        return min((point.measurement.launches for point in self.points), default=0)

    def __str__(self) -> str:
        return f"{len(self.points)} points with at least {self.fewest_launches} launches each"

    def may_replace(self, earlier: ConfirmedPoints) -> bool:
        """Tell whether nothing is lost if it takes another's place, though it was cut short.

        It has at least as many points, and its least measured one has at least as many launches as
        the other's least measured one.
        """
        return (
            len(self.points) >= len(earlier.points)
            and self.fewest_launches >= earlier.fewest_launches
        )

    def write(self, put: Callable[[str, Any], None]) -> None:
        """Write it in place of the last one.

        Args:
            put: Sets an attribute of the study; it is there for good when that returns.
        """
        campaign = uuid.uuid4().hex
        for point in self.points:
            put(_key(campaign, point.number), point.as_dict())
        numbers = [point.number for point in self.points]
        samples = None if self.samples is None else dict(self.samples)
        index = {"trials": self.trials, "numbers": numbers, "samples": samples}
        put(_INDEX, {**index, "campaign": campaign})

    @classmethod
    def read(cls, attributes: Mapping[str, Any]) -> ConfirmedPoints:
        """Return the last one that was written as a whole; without points if there is none."""
        index = attributes.get(_INDEX)
        if index is None:
            return cls()
        # Earlier versions kept one set of points, without an id.
        campaign = index.get("campaign")
        points = [
            Confirmed.from_dict(attributes[_key(campaign, number)]) for number in index["numbers"]
        ]
        return cls(points, index["trials"], index["samples"])


def _key(campaign: str | None, number: int) -> str:
    return f"{_INDEX}:{number}" if campaign is None else f"{_INDEX}:{campaign}:{number}"
