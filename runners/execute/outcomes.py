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
            values = json.loads(self._path(job).read_text("utf-8"))
            return Outcome.from_dict(values["outcome"], self._store)
        except (OSError, ValueError, TypeError, KeyError):
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
            written = {"job": job.as_dict(), "outcome": outcome.as_dict()}
            self._store.write(path, json.dumps(written, indent=1))
        return outcome

    def _path(self, job: Job) -> Path:
        return self._store.root / "outcomes" / f"{job.key}.json"
