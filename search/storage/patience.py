"""Patience: retries for some minutes while a storage does not answer."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

import optuna

from paretune.spaces import StudyError

_PATIENCE_S = 300.0
"""Seconds that a storage which does not answer is waited for. Chosen by judgement."""

_RETRY_S = 2.0
"""Seconds between attempts."""

_FOR_GOOD = ("disk is full", "malformed", "not a database", "readonly database", "read-only")
_LOG = logging.getLogger(__name__)

Result = TypeVar("Result")


def patiently(access: Callable[[], Result], url: str) -> Result:
    """Read or write, with retries while the storage does not answer.

    Args:
        access: Reads or writes. It may be called again although an earlier call succeeded, because
            an answer can be lost.
        url: The storage, for messages.

    Raises:
        StudyError: If the storage does not come back within minutes, or cannot without help.
    """
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            return access()
        except (optuna.exceptions.StorageInternalError, OSError) as error:
            # A full disk does not empty itself: report it at once.
            reason = str(error.__cause__ or error)
            if time.monotonic() > deadline or any(text in reason for text in _FOR_GOOD):
                raise StudyError(
                    f"the Optuna storage {url} does not answer: {reason}; finished trials are "
                    "safe: fix the storage and run the same command again"
                ) from error
            _LOG.warning("%s does not answer; trying again", url)
            time.sleep(_RETRY_S)
