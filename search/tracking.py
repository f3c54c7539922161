"""Tracking: a place where runs are reviewed. A view of the storage, brought up to date by it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Literal, Protocol

from search.history import History
from search.trial import TrialRecord

Status = Literal["FINISHED", "FAILED", "KILLED"]

_LOG = logging.getLogger("paretune")


class Tracking(Protocol):
    """A place that shows trials while they come in."""

    def log_trial(self, record: TrialRecord, history: History) -> None:
        """Show a finished trial, and what it changed."""

    def log_confirmed(self, history: History) -> None:
        """Show what was confirmed, and what is published."""

    def finish(self, history: History, reason: str, status: Status) -> None:
        """Show the study as it stands at the end of a search."""


class NoTracking:
    """Shows nothing."""

    def log_trial(self, record: TrialRecord, history: History) -> None:
        """Do nothing."""

    def log_confirmed(self, history: History) -> None:
        """Do nothing."""

    def finish(self, history: History, reason: str, status: Status) -> None:
        """Do nothing."""


class GuardedTracking:
    """Keeps a tracking that fails from ending the study: the next start brings it up to date.

    Args:
        inner: The tracking, until its first failure.
    """

    def __init__(self, inner: Tracking) -> None:
        self.inner = inner

    def log_trial(self, record: TrialRecord, history: History) -> None:
        """Pass it on."""
        self._try(lambda: self.inner.log_trial(record, history))

    def log_confirmed(self, history: History) -> None:
        """Pass it on."""
        self._try(lambda: self.inner.log_confirmed(history))

    def finish(self, history: History, reason: str, status: Status) -> None:
        """Pass it on."""
        self._try(lambda: self.inner.finish(history, reason, status))

    def _try(self, call: Callable[[], None]) -> None:
        try:
            call()
        except Exception as error:
            _LOG.warning(
                "MLflow failed (%s: %s); the study goes on without it. Nothing is lost: the next "
                "`paretune search` of this study brings MLflow up to date.",
                type(error).__name__,
                error,
            )
            self.inner = NoTracking()
