"""The end of a study's run, recorded once, in the storage and in its views."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from paretune.search.record.history import History
from paretune.search.record.tracking import Status, Tracking
from paretune.search.storage.study_storage import StudyStorage
from paretune.spaces import StudyError


@contextmanager
def ending(
    storage: StudyStorage, tracking: Tracking, history: History, reason: str
) -> Iterator[None]:
    """Record at the end of this context that a study ended, and how.

    A process that is killed inside records nothing: the study did not end, it was killed.

    Args:
        storage: The study's storage.
        tracking: Its view.
        history: Its trials.
        reason: Why it ended, in words, unless it is interrupted or fails inside.
    """

    def end(why: str, status: Status) -> None:
        storage.end(why, status)
        tracking.finish(history, why, status)

    try:
        yield
    except KeyboardInterrupt:
        end("interrupted", "KILLED")
        raise
    except BaseException as error:
        # The storage itself may have failed: then report that error.
        with suppress(StudyError):
            end(f"stopped: {error}", "FAILED")
        raise
    end(reason, "FINISHED")
