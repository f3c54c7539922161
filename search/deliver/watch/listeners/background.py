"""A listener in the background, so that the watch never waits for it."""

from __future__ import annotations

import logging
import queue
import threading

from paretune.search.deliver.watch.event import Event
from paretune.search.deliver.watch.listeners.listener import Listener
from paretune.search.deliver.watch.watcher import State

_LOG = logging.getLogger("paretune")

_MOST_WAITING = 1000
"""Events that wait for a listener that is slow or away; later ones are dropped, and logged. Chosen
by judgement.
"""

_CLOSE_S = 15.0
"""Seconds that the end of a watch waits for what is left to tell. Chosen by judgement."""


class InBackground:
    """Tells another listener from a thread of its own, in order.

    What it raises is logged, and it is told the next event all the same: a server that was away may
    be back. Of states that wait, only the latest is told.

    Args:
        listener: The other one.
    """

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._waiting: queue.Queue[Event | State | None] = queue.Queue(_MOST_WAITING)
        self._latest: State | None = None
        self._thread = threading.Thread(target=self._run, name="listener", daemon=True)
        self._thread.start()

    def tell(self, event: Event) -> None:
        """Tell an event later."""
        try:
            self._waiting.put_nowait(event)
        except queue.Full:
            _LOG.warning("%s is away: an event is dropped: %s", self._name, event.line)

    def update(self, state: State) -> None:
        """Tell the state later, unless one waits already: then this one instead of it."""
        is_waiting, self._latest = self._latest is not None, state
        if not is_waiting:
            try:
                self._waiting.put_nowait(state)
            except queue.Full:
                self._latest = None

    def close(self) -> None:
        """Tell what is left, and close the listener; for some seconds at most."""
        try:
            self._waiting.put(None, timeout=_CLOSE_S)
        except queue.Full:
            return
        self._thread.join(_CLOSE_S)
        if self._thread.is_alive():
            _LOG.warning("%s was not told everything: it takes too long", self._name)

    @property
    def _name(self) -> str:
        return type(self._listener).__name__.lower()

    def _run(self) -> None:
        while (told := self._waiting.get()) is not None:
            try:
                if isinstance(told, Event):
                    self._listener.tell(told)
                else:
                    latest, self._latest = self._latest or told, None
                    self._listener.update(latest)
            except Exception as error:  # whatever a server or its library may raise
                _LOG.warning("%s was not told: %s", self._name, error)
        try:
            self._listener.close()
        except Exception as error:
            _LOG.warning("%s could not be closed: %s", self._name, error)
