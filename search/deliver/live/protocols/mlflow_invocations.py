"""MLflow's scoring protocol: ``POST /invocations``, as ``mlflow models serve`` answers it.

Source: MLflow's manual, "Deploy MLflow Model as a Local Inference Server".
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
)

MLFLOW = ProtocolRecord(
    name="mlflow",
    words="MLflow's scoring server: POST /invocations",
    service="paretune.search.deliver.live.protocols.mlflow_invocations:MlflowService",
)

_PATH = "/invocations"


class MlflowService:
    """A model behind ``/invocations``; see :class:`Service`.

    Args:
        endpoint: Its address; the model has no name there.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._asked = self.connect()

    def check_ready(self) -> None:
        """Return if the server has loaded its model."""
        self._asked.ping()

    def info(self) -> None:
        """Return ``None``: the protocol does not tell a model's signature."""

    def encode(self, inputs: Mapping[str, NDArray[Any]], outputs: Sequence[str]) -> bytes:
        """Return the body of a request: an array for a model of one input, else one by name."""
        values = {name: nested(array) for name, array in inputs.items()}
        (first, *more) = values.values()
        return json.dumps({"inputs": values if more else first}).encode()

    def decode(self, answer: Answer) -> dict[str, NDArray[Any]]:
        """Return the outputs by name; by ``""`` if there is one without a name."""
        values = read_json(answer, f"POST {_PATH}")
        try:
            predictions = values["predictions"]
            if isinstance(predictions, list) and predictions and isinstance(predictions[0], dict):
                predictions = {name: [row[name] for row in predictions] for name in predictions[0]}
            if not isinstance(predictions, dict):
                predictions = {"": predictions}
            return {str(name): np.array(value) for name, value in predictions.items()}
        except (KeyError, TypeError, ValueError) as error:
            raise RefusedRequestError(
                f"POST {_PATH}", f"an answer without predictions ({error!r})", ""
            ) from error

    def connect(self) -> HttpConnection:
        """Return a new connection."""
        return HttpConnection(self._endpoint, _PATH, "/ping")

    def provenance(self, answer: Answer | None = None) -> Provenance | None:
        """Return MLflow's version: its server does not tell what runs the model."""
        try:
            version = self._asked.get("/version").body.decode("utf-8", "replace").strip()
        except RefusedRequestError:
            return None
        return Provenance("GET /version", words=f"MLflow {version}")

    def counters(self) -> Counters:
        """Return what metrics count, if a server around it has them at another port."""
        return prometheus_counters(self._endpoint) if self._endpoint.metrics_url else {}
