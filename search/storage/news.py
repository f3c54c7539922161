"""News: what the other processes that search a study have done, and do now."""

from __future__ import annotations

from dataclasses import dataclass

from paretune.search.record.trial import TrialRecord
from paretune.spaces import Candidate


@dataclass(frozen=True)
class Elsewhere:
    """A trial that another living process builds or measures.

    Attributes:
        number: Its number.
        candidate: Its candidate.
        member: The process, in words.
    """

    number: int
    candidate: Candidate
    member: str


@dataclass(frozen=True)
class News:
    """What other processes have done, and do now.

    Attributes:
        records: The records of trials that they have finished, in order.
        under_way: The trials that they build or measure.
        has_orphans: Whether there are unfinished trials that no living process works on.
    """

    records: tuple[TrialRecord, ...] = ()
    under_way: tuple[Elsewhere, ...] = ()
    has_orphans: bool = False
