"""Kept outcomes: a job that is submitted again costs nothing."""

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
    """Outcomes in an artifact store, by the keys of their jobs (``outcomes/key.json``).

    Failures are not kept: a worker that was killed, or a package that was missing, may work the
    next time.

    Args:
        store: The store.
    """

    def __init__(self, store: ArtifactStore) -> None:
        self._store = store

    def kept(self, job: Job) -> Outcome | None:
        """Return the kept outcome of a job, or ``None`` if there is none.

        ``None`` also if one of its files is missing or damaged, or another release wrote it: then
        the job has to be done again.
        """
        if not job.IS_KEPT:
            return None
        try:
            return self._outcome(self._store.read(self._path(job)))
        except (OSError, ValueError):
            return None

    def once(self, job: Job, do: Callable[[], Any]) -> Outcome:
        """Return the kept outcome of a job; if there is none, do the job and keep its outcome.

        Args:
            job: The job.
            do: Does the job and returns the outcome's value.

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
            written = json.dumps({"job": job.as_dict(), "outcome": outcome.as_dict()}, indent=1)
            counts = self._store.keep(path, written, lambda text: self._outcome(text) is not None)
            if counts != written:  # another machine had done the same job before
                return self._outcome(counts) or outcome
        return outcome

    def _outcome(self, text: str) -> Outcome | None:
        """Return the outcome that a text is, or ``None`` if it or one of its files is of no use."""
        try:
            return Outcome.from_dict(json.loads(text)["outcome"], self._store.get)
        except (ValueError, TypeError, KeyError):
            return None

    def _path(self, job: Job) -> Path:
        return self._store.root / "outcomes" / f"{job.key}.json"
