"""A service of one's own: ``POST /predict`` with JSON, as ``paretune export`` writes them.

The request is ``{"inputs": {NAME: nested list}}``, the answer ``{"outputs": {NAME: nested list}}``.
``GET /metadata`` may tell what runs the model: ``{"provider": …, "threads": …, "model_sha256":
…}``. LitServe, BentoML, Ray Serve and FastAPI can all speak it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paretune.search.deliver.live.protocols.http_connection import HttpConnection, read_json
from paretune.search.deliver.live.protocols.prometheus import prometheus_counters
from paretune.search.deliver.live.service import (
    Answer,
    Counters,
    Endpoint,
    ProtocolRecord,
    Provenance,
    RefusedRequestError,
    nested,
    provenance_of,
)
from paretune.spaces import ServiceError

JSON_SERVICE = ProtocolRecord(
    name="json",
    words="POST /predict with JSON: exported services of LitServe, BentoML and Ray Serve",
    service="paretune.search.deliver.live.protocols.json_service:JsonService",
)

_PATH = "/predict"
_METADATA = "/metadata"
_HEALTH = ("/health", "/readyz", "/-/healthz", "/healthz")
"""Where LitServe, BentoML, Ray Serve and others say that they are ready."""


class JsonService:
    """A model behind ``/predict``; see :class:`Service`.

    Args:
        endpoint: Its address; the model has no name there.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._ping_path: str | None = None
        self._asked = self.connect()

    def check_ready(self) -> None:
        """Return if the service says that it is ready, or has no page that says so."""
        refused: list[RefusedRequestError] = []
        for path in _HEALTH:
            try:
                self._asked.get(path)
            except RefusedRequestError as error:
                refused.append(error)
            else:
                self._ping_path = path
                return
        # A page that is not there is no answer; one that is there and says no is.
        if there := [error for error in refused if error.status not in ("404", "405")]:
            raise there[0]

    def info(self) -> None:
        """Return ``None``: the protocol does not tell shapes."""

    def encode(self, inputs: Mapping[str, NDArray[Any]], outputs: Sequence[str]) -> bytes:
        """Return the body of a request; it always asks for all outputs."""
        return json.dumps({"inputs": {k: nested(array) for k, array in inputs.items()}}).encode()

    def decode(self, answer: Answer) -> dict[str, NDArray[Any]]:
        """Return the outputs by name."""
        values = read_json(answer, f"POST {_PATH}")
        try:
            return {str(name): np.array(value) for name, value in values["outputs"].items()}
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise RefusedRequestError(
                f"POST {_PATH}",
                f"an answer without outputs ({error!r})",
                answer.body[:200].decode(),
            ) from error

    def connect(self) -> HttpConnection:
        """Return a new connection."""
        return HttpConnection(self._endpoint, _PATH, self._ping_path)

    def provenance(self, answer: Answer | None = None) -> Provenance | None:
        """Return what the service's metadata say."""
        try:
            values = self._asked.get_json(_METADATA)
        except ServiceError:
            return None
        return provenance_of(values, f"GET {_METADATA}") if isinstance(values, dict) else None

    def counters(self) -> Counters:
        """Return what its metrics count, if it has any that are known."""
        return prometheus_counters(self._endpoint)
