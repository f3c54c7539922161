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

    def bring_up_to_date(self, history: History) -> None:
        """Show what the history holds and is not shown yet."""

    def start(self) -> None:
        """Show that the study is being searched."""

    def log_trial(self, record: TrialRecord, history: History) -> None:
        """Show a finished trial, and what it changed."""

    def log_confirmed(self, history: History) -> None:
        """Show what was confirmed, and what is published."""

    def finish(self, history: History, reason: str, status: Status) -> None:
        """Show the study as it stands at the end of a search."""


class NoTracking:
    """Shows nothing."""

    def bring_up_to_date(self, history: History) -> None:
        """Do nothing."""

    def start(self) -> None:
        """Do nothing."""

    def log_trial(self, record: TrialRecord, history: History) -> None:
        """Do nothing."""

    def log_confirmed(self, history: History) -> None:
        """Do nothing."""

    def finish(self, history: History, reason: str, status: Status) -> None:
        """Do nothing."""


class GuardedTracking:
    """Keeps a tracking that fails from ending the study.

    After a failure it is left alone until the search ends; then it is tried once more.

    Args:
        inner: The tracking.
    """

    def __init__(self, inner: Tracking) -> None:
        self.inner = inner
        self._is_behind = False

    def bring_up_to_date(self, history: History) -> None:
        """Pass it on."""
        self._try(lambda: self.inner.bring_up_to_date(history))

    def start(self) -> None:
        """Pass it on."""
        self._try(self.inner.start)

    def log_trial(self, record: TrialRecord, history: History) -> None:
        """Pass it on."""
        self._try(lambda: self.inner.log_trial(record, history))

    def log_confirmed(self, history: History) -> None:
        """Pass it on."""
        self._try(lambda: self.inner.log_confirmed(history))

    def finish(self, history: History, reason: str, status: Status) -> None:
        """Pass it on, after what was missed."""
        if self._is_behind:
            self._is_behind = False
            self.bring_up_to_date(history)
        self._try(lambda: self.inner.finish(history, reason, status))

    def _try(self, call: Callable[[], None]) -> None:
        if self._is_behind:
            return
        try:
            call()
        except Exception as error:
            _LOG.warning(
                "MLflow failed (%s: %s); the study goes on without it. Nothing is lost: the end of "
                "the search, its next start or `paretune sync` brings MLflow up to date.",
                type(error).__name__,
                error,
            )
            self._is_behind = True
