"""The webhook: posts each event to an address as JSON."""

from __future__ import annotations

import json
import logging
import queue
import threading
import urllib.error
import urllib.request
from typing import Any

from paretune.search.deliver.watch.event import Event
from paretune.search.deliver.watch.listeners.listener import Watched
from paretune.search.deliver.watch.watcher import Watcher
from paretune.spaces import StudyError

_LOG = logging.getLogger("paretune")

_TIMEOUT_S = 10.0
"""Seconds to wait for an answer. Chosen by judgement."""

_TRIES = 6
"""Tries of a post; between them 1, 2, 4, 8 and 16 seconds, so a receiver may be away for half a
minute. Chosen by judgement.
"""

_MOST_WAITING = 1000
"""Events that wait for a receiver that is away; later ones are dropped and logged. Chosen by
judgement.
"""

_CLOSE_S = 15.0
"""Seconds that the end of a watch waits for posts that are left. Chosen by judgement."""


class Webhook:
    """Posts events from a thread of its own, so that the watch never waits.

    A post that fails, or is answered with an error of the server (5xx) or 429, is tried again;
    another answer is final. What cannot be delivered is logged.

    Args:
        url: Where to post to.
        watched: What is watched; its labels are in each post.
        first_wait_s: Seconds before the second try; each further wait is twice as long.

    Raises:
        StudyError: If the address is not one of HTTP.
    """

    def __init__(self, url: str, watched: Watched, first_wait_s: float = 1.0) -> None:
        if not url.startswith(("http://", "https://")):
            raise StudyError(f"a webhook's address begins with http:// or https://; got {url!r}")
        self._url, self._watched, self._first_wait_s = url, watched, first_wait_s
        self._waiting: queue.Queue[dict[str, Any] | None] = queue.Queue(_MOST_WAITING)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="webhook", daemon=True)
        self._thread.start()

    def tell(self, event: Event) -> None:
        """Post an event later."""
        try:
            self._waiting.put_nowait({**self._watched.labels, **event.as_dict()})
        except queue.Full:
            _LOG.warning("the webhook %s is away: an event is dropped: %s", self._url, event.line)

    def update(self, watcher: Watcher) -> None:
        """Post nothing: only events are posted."""

    def close(self) -> None:
        """Post what is left, for some seconds at most."""
        self._closing.set()
        try:
            self._waiting.put_nowait(None)
        except queue.Full:
            return
        self._thread.join(_CLOSE_S)

    def _run(self) -> None:
        while (values := self._waiting.get()) is not None:
            self._post(values)

    def _post(self, values: dict[str, Any]) -> None:
        wait_s = self._first_wait_s
        for left in reversed(range(_TRIES)):
            try:
                request = urllib.request.Request(
                    self._url,
                    json.dumps(values).encode(),
                    {"Content-Type": "application/json", "User-Agent": "paretune"},
                )
                with urllib.request.urlopen(request, timeout=_TIMEOUT_S):
                    return
            except (OSError, ValueError) as error:
                status = error.code if isinstance(error, urllib.error.HTTPError) else None
                is_final = status is not None and status < 500 and status != 429
                if is_final or not left:
                    _LOG.warning("the webhook %s did not take an event: %s", self._url, error)
                    return
                self._closing.wait(wait_s)
                wait_s *= 2
