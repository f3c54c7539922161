"""A tracking that may fail: the study continues without it, and it catches up later."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from paretune.runners.execute.ongoing_stage import OngoingTraining
from paretune.search.record.history import History
from paretune.search.record.tracking import Phase, Status, Tracking, UnusableTrackingError
from paretune.search.record.trial import TrialRecord

_RETRY_S = 300.0
"""Seconds between attempts to reach MLflow. Chosen by judgement."""

_MOST_TIME = 0.05
"""Largest share of a study's time that failing attempts may cost. Chosen by judgement."""

_LOG = logging.getLogger("paretune")


class GuardedTracking:
    """Keeps a failing or unreachable tracking from ending the study.

    After a failure it is left alone for some minutes, then opened again, which adds everything that
    is missing. It is also tried again when a confirmation begins, and at the end.

    Args:
        open_view: Opens the tracking.
        retry_s: Seconds between attempts; more if attempts would otherwise cost more than a
            twentieth of the time.
    """

    def __init__(self, open_view: Callable[[], Tracking], retry_s: float = _RETRY_S) -> None:
        self.open_view = open_view
        self.retry_s = retry_s
        self._view: Tracking | None = None
        self._phase: Phase | None = None
        self._next_try = 0.0
        self._has_failed = False

    def bring_up_to_date(self, history: History) -> None:
        """Open the tracking, which adds everything that is missing.

        Raises:
            UnusableTrackingError: If waiting does not help.
        """
        self._try(history, lambda view: None)

    def start(self, phase: Phase, history: History) -> None:
        """Pass it on."""
        self._phase = phase
        if self._view is None and phase == "searching":
            return  # tried a moment ago
        self._try(history, lambda view: view.start(phase, history))

    def log_trial(self, record: TrialRecord, history: History) -> None:
        """Pass it on; or try again if it is time, which adds the trial with all others."""
        if self._view is not None:
            self._try(history, lambda view: view.log_trial(record, history))
        elif time.monotonic() >= self._next_try:
            self._try(history, lambda view: None)

    def log_training(self, trainings: Sequence[OngoingTraining]) -> None:
        """Pass it on; if that fails, it is not made up for: the trial will have the curves."""
        if self._view is not None:
            with suppress(Exception):
                self._view.log_training(trainings)

    def log_confirmed(self, history: History) -> None:
        """Pass it on."""
        self._try(history, lambda view: view.log_confirmed(history))

    def finish(self, history: History, reason: str, status: Status) -> None:
        """Pass it on, after adding what is missing."""
        self._try(history, lambda view: view.finish(history, reason, status))
        if self._view is None:
            _LOG.warning("MLflow is not up to date: run `paretune sync`")

    def _try(self, history: History, call: Callable[[Tracking], None]) -> None:
        began = time.monotonic()
        try:
            call(self._view or self._opened(history))
        except UnusableTrackingError:
            raise
        except Exception as error:
            self._view = None
            now = time.monotonic()
            self._next_try = now + max(self.retry_s, (now - began) / _MOST_TIME)
            if not self._has_failed:
                _LOG.warning(
                    "MLflow failed (%s: %s); the study continues without it. Nothing is lost: it "
                    "is tried again every few minutes and at the end, and `paretune sync` brings "
                    "it up to date later.",
                    type(error).__name__,
                    error,
                )
            self._has_failed = True

    def _opened(self, history: History) -> Tracking:
        view = self.open_view()
        view.bring_up_to_date(history)
        if self._phase is not None:
            view.start(self._phase, history)
        self._view = view
        if self._has_failed:
            _LOG.warning("MLflow answers again and is up to date")
        self._has_failed = False
        return view
