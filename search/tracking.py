"""Tracking: a place where runs are reviewed. A view of the storage, brought up to date by it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, Literal, Protocol

from search.config import StudyConfig, StudyPaths
from search.history import History
from search.trial import TrialRecord
from spaces import StudyError

Status = Literal["FINISHED", "FAILED", "KILLED"]

_LOG = logging.getLogger("paretune")


class Tracking(Protocol):
    """A place that shows trials while they come in."""

    def log_trial(self, record: TrialRecord, history: History) -> None:
        """Show a finished trial, and what it changed."""

    def finish(self, history: History, reason: str, status: Status) -> None:
        """Show the study as it stands at the end of a search."""


class NoTracking:
    """Shows nothing."""

    def log_trial(self, record: TrialRecord, history: History) -> None:
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


def open_tracking(
    config: StudyConfig, paths: StudyPaths, definition: Mapping[str, Any], history: History
) -> Tracking:
    """Return the study's tracking, brought up to date with its history."""
    if not config.tracking:
        return NoTracking()
    from search.mlflow_tracking import MlflowTracking

    local = paths.tracking_uri.startswith("sqlite:")
    try:
        tracking = MlflowTracking(
            paths.tracking_uri,
            name=config.name,
            definition=definition,
            artifacts=paths.artifacts if local else None,
            study_file=paths.study_file,
        )
        tracking.bring_up_to_date(history)
    except Exception as error:
        raise StudyError(
            f"MLflow at {paths.tracking_uri} cannot be used: {type(error).__name__}: {error}; mend "
            f"`tracking_uri`, start the server, or set `tracking: false` to search without it"
        ) from error
    return GuardedTracking(tracking)
