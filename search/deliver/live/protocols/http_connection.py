"""HTTP connections that cost little: one socket each, kept open, no redirects and no retries."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from paretune.search.deliver.live.service import (
    Answer,
    Endpoint,
    RefusedRequestError,
    UnreachableError,
)
from paretune.spaces import ServiceError

_OK = range(200, 300)


class HttpConnection:
    """One connection to a server, by urllib3's pool of one.

    Args:
        endpoint: Where the model is served.
        path: The path of an inference request.
        ping_path: The path of a request that answers without the model; ``None`` if there is none.
        content: The body's type.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        path: str,
        ping_path: str | None,
        content: Mapping[str, str] | None = None,
    ) -> None:
        import urllib3

        parts = urlsplit(endpoint.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ServiceError(
                f"the address of a service over HTTP must be http://HOST[:PORT] or https://…; got "
                f"{endpoint.url!r}"
            )
        self._endpoint = endpoint
        self._base = parts.path.rstrip("/")
        self._path, self._ping_path = self._base + path, ping_path
        self._headers = {"Content-Type": "application/json", **(content or {}), **endpoint.headers}
        self._pool = urllib3.connection_from_url(
            f"{parts.scheme}://{parts.netloc}",
            maxsize=1,
            retries=False,
            timeout=urllib3.Timeout(endpoint.timeout_s),
        )

    def ask(self, message: bytes) -> Answer:
        """Send a request; see :class:`Connection`."""
        return self._request("POST", self._path, message, self._headers)

    def ping(self) -> None:
        """Make a round trip without a model; see :class:`Connection`."""
        if self._ping_path is None:
            raise ServiceError("this service has no request that answers without its model")
        self.get(self._ping_path)

    def get(self, path: str) -> Answer:
        """Return the answer to a request without a body.

        Raises:
            UnreachableError: If no answer came in time.
            RefusedRequestError: If the answer is an error.
        """
        return self._request("GET", self._base + path, None, dict(self._endpoint.headers))

    def get_json(self, path: str) -> Any:
        """Return what JSON says at a path.

        Raises:
            UnreachableError: If no answer came in time.
            RefusedRequestError: If the answer is an error, or not JSON.
        """
        return read_json(self.get(path), f"GET {path}")

    def post(self, path: str, message: bytes) -> Answer:
        """Return the answer to another request than one for inference."""
        return self._request("POST", self._base + path, message, self._headers)

    def close(self) -> None:
        """Close the socket."""
        self._pool.close()

    def _request(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> Answer:
        from urllib3.exceptions import HTTPError, NewConnectionError, TimeoutError

        try:
            # Read within: the time of an answer ends with its last byte.
            found = self._pool.urlopen(method, path, body, headers=headers, redirect=False)
        except (HTTPError, OSError) as error:
            # A refused connection is a timeout, too, in urllib3's tree of errors.
            if isinstance(error, TimeoutError) and not isinstance(error, NewConnectionError):
                raise UnreachableError(
                    f"{self._endpoint.url} gave no answer within {self._endpoint.timeout_s:g} s "
                    f"({method} {path})"
                ) from error
            raise UnreachableError(
                f"{self._endpoint.url} cannot be reached ({method} {path}): {error}; is the "
                "service running, and is this its address?"
            ) from error
        if found.status not in _OK:
            text = found.data.decode("utf-8", "replace")
            raise RefusedRequestError(f"{method} {path}", str(found.status), text)
        return Answer(found.data, {name.lower(): value for name, value in found.headers.items()})


def read_json(answer: Answer, what: str) -> Any:
    """Return what an answer says.

    Raises:
        RefusedRequestError: If it is not JSON.
    """
    try:
        return json.loads(answer.body)
    except ValueError as error:
        text = answer.body[:200].decode("utf-8", "replace")
        raise RefusedRequestError(what, f"an answer that is not JSON ({error})", text) from error
