"""A watch from its source to its listeners."""

from __future__ import annotations

import contextlib
import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

from paretune.search.deliver.watch.event import Event
from paretune.search.deliver.watch.listeners.listener import Listener
from paretune.search.deliver.watch.observation import Request
from paretune.search.deliver.watch.settings import WatchSettings
from paretune.search.deliver.watch.sources.bucket_blocks import BlockMaker
from paretune.search.deliver.watch.sources.prometheus_source import PrometheusSource
from paretune.search.deliver.watch.watcher import Watcher, started

_LOG = logging.getLogger("paretune")

_UPDATE_S = 1.0
"""Seconds between two updates of the listeners, at the least. Chosen by judgement."""


class Session:
    """Carries events from a watcher to listeners; a listener that fails is logged and left out.

    Args:
        watcher: Decides.
        listeners: Are told.
    """

    def __init__(self, watcher: Watcher, listeners: Sequence[Listener]) -> None:
        self.watcher, self._listeners = watcher, list(listeners)
        self._updated_s = -math.inf

    def run(self, requests: Iterable[Request]) -> int:
        """Watch requests to their end, and return the exit code of the state at the end."""
        for request in requests:
            self.tell(self.watcher.see(request))
        return self.watcher.exit_code

    def tell(self, events: Sequence[Event]) -> None:
        """Tell listeners of events, and now and then of the state."""
        for event in events:
            self._each(lambda listener, told=event: listener.tell(told))  # type: ignore[misc]
        now = time.monotonic()
        if events or now - self._updated_s >= _UPDATE_S:
            self._updated_s = now
            self._each(lambda listener: listener.update(self.watcher.state))

    def _each(self, what: Callable[[Listener], None]) -> None:
        for listener in list(self._listeners):
            try:
                what(listener)
            except Exception as error:  # a view that fails must not end the watch
                _LOG.warning("%s is told nothing more: %s", type(listener).__name__, error)
                self._listeners.remove(listener)

    @contextlib.contextmanager
    def open(self) -> Iterator[Session]:
        """Yield the session, and close its listeners at the end."""
        try:
            yield self
        finally:
            self._each(lambda listener: listener.update(self.watcher.state))
            self._each(lambda listener: listener.close())


def watch_prometheus(
    session: Session, source: PrometheusSource, since_s: float, stop: Callable[[], bool]
) -> int:
    """Watch what Prometheus scrapes from now on; return the exit code of the state at the end."""
    reference = session.watcher.reference
    if reference is None:
        raise ValueError("blocks need a reference: learn it first")
    maker = BlockMaker(reference)
    for steps in source.follow(since_s, stop):
        for step in steps:
            if (block := maker.add(step)) is not None:
                session.tell(session.watcher.see_block(block))
        session.tell([])
    return session.watcher.exit_code


def start(session: Session, settings: WatchSettings) -> None:
    """Tell listeners what the watch compares with, if that is known."""
    if session.watcher.reference is not None:
        session.tell([started(session.watcher.reference, settings, time.time())])
