"""The Open Inference Protocol (v2) over HTTP: Triton, OpenVINO Model Server, MLServer, KServe.

Tensors go as JSON, or as raw bytes after it where the server lists the extension
``binary_tensor_data``. Sources: kserve/open-inference-protocol, "inference_rest"; Triton's
"Binary Tensor Data Extension" and "Statistics Extension".
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from paretune.search.deliver.live.protocols.http_connection import HttpConnection, read_json
from paretune.search.deliver.live.protocols.prometheus import prometheus_counters
from paretune.search.deliver.live.protocols.triton_facts import (
    provenance_of_config,
    statistics_counters,
)
from paretune.search.deliver.live.protocols.v2_types import numpy_dtype, numpy_name, v2_type
from paretune.search.deliver.live.service import (
    Answer,
    Counters,
    Endpoint,
    ModelInfo,
    ProtocolRecord,
    Provenance,
    RefusedRequestError,
    TensorInfo,
    nested,
    provenance_of,
)
from paretune.spaces import ServiceError

V2_HTTP = ProtocolRecord(
    name="v2",
    words="the Open Inference Protocol over HTTP: Triton, OpenVINO Model Server, MLServer, KServe",
    service="paretune.search.deliver.live.protocols.v2_http:V2HttpService",
)

_HEADER_LENGTH = "Inference-Header-Content-Length"
_BINARY = "binary_tensor_data"


class V2HttpService:
    """A model served by the protocol over HTTP; see :class:`Service`.

    Args:
        endpoint: Its address, without ``/v2``; its model's name must be given.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._model = f"/v2/models/{quote(endpoint.model, safe='')}"
        self._asked = self.connect()

    def check_ready(self) -> None:
        """Return if server and model are ready; the message lists the models that are there."""
        self._asked.get("/v2/health/ready")
        try:
            self._asked.get(f"{self._model}/ready")
        except RefusedRequestError as error:
            raise RefusedRequestError(
                f"the model {self._endpoint.model!r} is not ready there{self._others()}: "
                f"GET {self._model}/ready",
                error.status,
                error.body,
            ) from error

    def info(self) -> ModelInfo:
        """Return the model's metadata."""
        return model_info(self._asked.get_json(self._model))

    def encode(self, inputs: Mapping[str, NDArray[Any]], outputs: Sequence[str]) -> bytes:
        """Return the body of an inference request; raw bytes follow the JSON if they may."""
        tensors, raw = [], b""
        for name, array in inputs.items():
            tensor: dict[str, Any] = {
                "name": name,
                "shape": list(array.shape),
                "datatype": v2_type(array),
            }
            if self._is_binary and array.dtype.kind not in "SUO":
                data = array.tobytes()
                tensor["parameters"] = {"binary_data_size": len(data)}
                raw += data
            else:
                tensor["data"] = nested(array.reshape(-1))
            tensors.append(tensor)
        message: dict[str, Any] = {"inputs": tensors}
        if outputs:
            wanted = {"parameters": {"binary_data": True}} if self._is_binary else {}
            message["outputs"] = [{"name": name, **wanted} for name in outputs]
        return framed(json.dumps(message).encode(), raw)

    def decode(self, answer: Answer) -> dict[str, NDArray[Any]]:
        """Return the outputs by name."""
        head = self._head(answer)
        values = read_json(Answer(answer.body[:head]), f"POST {self._model}/infer")
        try:
            found, at = {}, head
            for each in values["outputs"]:
                dtype = numpy_dtype(each["datatype"])
                size = each.get("parameters", {}).get("binary_data_size")
                if size is None:
                    array = np.array(each["data"], dtype)
                else:
                    array = np.frombuffer(answer.body[at : at + size], dtype)
                    at += size
                found[each["name"]] = array.reshape(each["shape"])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise RefusedRequestError(
                f"POST {self._model}/infer", f"an answer that is not the protocol's ({error!r})", ""
            ) from error
        return found

    def connect(self) -> _FramedConnection:
        """Return a new connection."""
        return _FramedConnection(self._endpoint, f"{self._model}/infer", "/v2/health/ready")

    def provenance(self, answer: Answer | None = None) -> Provenance | None:
        """Return what Triton's model configuration says, or an answer's parameters.

        Otherwise the metadata's platform, which names no provider.
        """
        try:
            return provenance_of_config(self._asked.get_json(f"{self._model}/config"))
        except ServiceError:
            pass
        if answer is not None and (found := self._of_answer(answer)) is not None:
            return found
        try:
            platform = self.info().platform
        except ServiceError:
            return None
        return Provenance(f"GET {self._model}", words=f"platform {platform}") if platform else None

    def _of_answer(self, answer: Answer) -> Provenance | None:
        values = read_json(Answer(answer.body[: self._head(answer)]), "an answer")
        told = values.get("parameters") if isinstance(values, dict) else None
        return provenance_of(told, "each answer") if isinstance(told, dict) else None

    @staticmethod
    def _head(answer: Answer) -> int:
        """Return how many bytes of an answer are its JSON."""
        length = answer.headers.get(_HEADER_LENGTH.lower())
        return len(answer.body) if length is None else int(length)

    def counters(self) -> Counters:
        """Return what Triton's statistics count, or else the metrics of the same port."""
        try:
            return statistics_counters(self._asked.get_json(f"{self._model}/stats"))
        except ServiceError:
            return prometheus_counters(self._endpoint)

    @cached_property
    def _is_binary(self) -> bool:
        try:
            return _BINARY in (self._asked.get_json("/v2").get("extensions") or ())
        except (ServiceError, AttributeError):
            return False

    def _others(self) -> str:
        """Return the models that a server lists, in words; empty if it does not."""
        try:
            listed = read_json(self._asked.post("/v2/repository/index", b"{}"), "index")
            names = sorted({str(each["name"]) for each in listed})
        except (ServiceError, KeyError, TypeError):
            return ""
        return f" (it has {', '.join(names)}: pass one as --model)" if names else ""


class _FramedConnection(HttpConnection):
    """A connection whose requests may have raw bytes after the JSON."""

    def ask(self, message: bytes) -> Answer:
        """Send a request that :func:`framed` made."""
        length = int(message[:8])
        if length == len(message) - 8:
            return super().ask(message[8:])
        headers = {
            **self._headers,
            "Content-Type": "application/octet-stream",
            _HEADER_LENGTH: str(length),
        }
        return self._request("POST", self._path, message[8:], headers)


def framed(head: bytes, raw: bytes) -> bytes:
    """Return a message that knows how long its JSON is: eight digits come first."""
    return b"%08d" % len(head) + head + raw


def model_info(values: Any) -> ModelInfo:
    """Return the metadata of a model as the protocol's JSON has them.

    Raises:
        ServiceError: If they are not the protocol's.
    """
    try:
        inputs, outputs = (
            tuple(
                TensorInfo(
                    each["name"],
                    numpy_name(each["datatype"]),
                    tuple(None if int(size) < 0 else int(size) for size in each["shape"]),
                )
                for each in values.get(field) or ()
            )
            for field in ("inputs", "outputs")
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ServiceError(
            f"the model's metadata are not those of the Open Inference Protocol ({error!r}); is "
            "this the right --protocol?"
        ) from error
    return ModelInfo(inputs, outputs, str(values.get("platform") or ""))
