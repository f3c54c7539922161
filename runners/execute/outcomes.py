"""The outcomes that a store keeps: a job that is done twice costs nothing."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from paretune.runners.execute.job import Job
from paretune.runners.execute.outcome import Outcome
from paretune.runners.failure import Failure
from paretune.runners.store.artifact_store import ArtifactStore


class Outcomes:
    """What came of jobs, kept in an artifact store under their keys (``outcomes/key.json``).

    A failure is not kept: that a worker was killed, or a package was missing, says little about
    the next time.

    Args:
        store: The store.
    """

    def __init__(self, store: ArtifactStore) -> None:
        self._store = store

    def kept(self, job: Job) -> Outcome | None:
        """Return what came of a job before, or ``None``.

        It is ``None``, too, if a file of the outcome is gone or damaged, and if another release
        has written it: then the job is done again.
        """
        if not job.IS_KEPT:
            return None
        try:
            values = json.loads(self._path(job).read_text("utf-8"))
            return Outcome.from_dict(values["outcome"], self._store)
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def once(self, job: Job, do: Callable[[], Any]) -> Outcome:
        """Return what came of a job; if nothing is kept, do it now, and keep what comes of it.

        Args:
            job: The job.
            do: Does it, and returns the outcome's value.

        Raises:
            StoreError: If the outcome cannot be written.
        """
        if (kept := self.kept(job)) is not None:
            return kept
        started = time.monotonic()
        value = do()
        outcome = Outcome(value, time.monotonic() - started)
        if job.IS_KEPT and not isinstance(value, Failure):
            path = self._path(job)
            path.parent.mkdir(exist_ok=True)
            written = {"job": job.as_dict(), "outcome": outcome.as_dict()}
            self._store.write(path, json.dumps(written, indent=1))
        return outcome

    def _path(self, job: Job) -> Path:
        return self._store.root / "outcomes" / f"{job.key}.json"
