"""MLflow as a listener: a run per watch, and the state on the picked trial's own run."""

from __future__ import annotations

from paretune.search.deliver.watch.event import Event
from paretune.search.deliver.watch.listeners.listener import Watched
from paretune.search.deliver.watch.watcher import State
from paretune.search.review.mlflow.watch_run import WatchRun

_STATES = {0: "as published", 3: "degraded", 5: "drifted or different answers"}


class MlflowRun:
    """Writes a watch to MLflow. It may take seconds, so it belongs in the background.

    Args:
        uri: The tracking server or store.
        watched: What is watched.
    """

    def __init__(self, uri: str, watched: Watched) -> None:
        self._uri, self._watched = uri, watched
        self._run: WatchRun | None = None
        self._lines: list[str] = []

    def tell(self, event: Event) -> None:
        """Note an event: in a tag, and as a line of the run's file ``events.txt``."""
        self._lines.append(event.line)
        self._opened().note(event.line, "\n".join(self._lines) + "\n", event.kind.is_alarm)

    def update(self, state: State) -> None:
        """Log the state's numbers."""
        self._opened().log(state.metrics, state.requests, _STATES[state.exit_code])

    def close(self) -> None:
        """End the run."""
        if self._run is not None:
            self._run.end()

    def _opened(self) -> WatchRun:
        """Return the run; made at the first call, so that MLflow may be away at the start."""
        if self._run is None:
            watched = self._watched
            self._run = WatchRun(self._uri, watched.study, watched.trial, watched.digest)
        return self._run
