"""The webhook: posts each event to an address as JSON."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

from paretune.search.deliver.watch.event import Event
from paretune.search.deliver.watch.listeners.listener import Watched
from paretune.search.deliver.watch.watcher import State
from paretune.spaces import StudyError

_TIMEOUT_S = 10.0
"""Seconds to wait for an answer. Chosen by judgement."""

_TRIES = 6
"""Tries of a post; between them 1, 2, 4, 8 and 16 seconds, so a receiver may be away for half a
minute. Chosen by judgement.
"""


class Webhook:
    """Posts events. It waits and tries again, so it belongs in the background.

    A post that fails, or is answered with an error of the server (5xx) or 429, is tried again;
    another answer is final.

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

    def tell(self, event: Event) -> None:
        """Post an event.

        Raises:
            OSError: If it could not be delivered.
        """
        values = {**self._watched.labels, **event.as_dict()}
        wait_s = self._first_wait_s
        for left in reversed(range(_TRIES)):
            try:
                return self._post(values)
            except OSError as error:
                status = error.code if isinstance(error, urllib.error.HTTPError) else None
                is_final = status is not None and status < 500 and status != 429
                if is_final or not left:
                    raise
                time.sleep(wait_s)
                wait_s *= 2

    def update(self, state: State) -> None:
        """Post nothing: only events are posted."""

    def close(self) -> None:
        """Do nothing."""

    def _post(self, values: Mapping[str, Any]) -> None:
        headers = {"Content-Type": "application/json", "User-Agent": "paretune"}
        request = urllib.request.Request(self._url, json.dumps(values).encode(), headers)
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S):
            return
