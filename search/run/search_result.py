"""The result of a search."""

from __future__ import annotations

from dataclasses import dataclass

from paretune.search.record.history import History


@dataclass(frozen=True)
class SearchResult:
    """The result of a search.

    Attributes:
        history: Every finished trial of the study.
        reason: Why the search ended, in words.
        wants_confirmation: Whether the study publishes only points that were measured again.
        owner: The process that goes on with the study, in words, if this one only helped it.
    """

    history: History
    reason: str
    wants_confirmation: bool = False
    owner: str | None = None

    def __repr__(self) -> str:
        """Return how many trials there are of each kind, and why the search ended."""
        return f"{self.history.counts}: {self.reason}"
