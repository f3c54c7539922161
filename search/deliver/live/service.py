"""The seam to a served model: what each protocol can do, and the values that go through it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from paretune.spaces import ServiceError
from paretune.spaces.registry import Reference, Registry, resolve


class UnreachableError(ServiceError):
    """Nobody answers at the address, or not in time."""


class RefusedRequestError(ServiceError):
    """The service answered, but with an error.

    Attributes:
        status: HTTP's status or the name of gRPC's code.
        body: What it said, as text.
    """

    def __init__(self, what: str, status: str, body: str) -> None:
        said = " ".join(body.split())[:500]
        super().__init__(f"{what} was refused with {status}" + (f": {said}" if said else ""))
        self.status = status
        self.body = body


@dataclass(frozen=True)
class Endpoint:
    """Where a model is served.

    Attributes:
        url: The address without a path of a request, such as ``http://host:8000``.
        model: The model's name there; protocols that serve one model ignore it.
        headers: Sent with every request, such as for authorization.
        timeout_s: Longest time to wait for an answer.
        metrics_url: Where the server has ``/metrics``, if that is another port.
    """

    url: str
    model: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    timeout_s: float = 10.0
    metrics_url: str = ""


@dataclass(frozen=True)
class Answer:
    """What came back, not yet decoded.

    Attributes:
        body: The bytes.
        headers: HTTP's headers, with names in lower case; empty for other protocols.
    """

    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class TensorInfo:
    """An input or output, as the service describes it.

    Attributes:
        name: Its name.
        dtype: Its numpy dtype by name; ``None`` for one that numpy does not have.
        shape: Its sizes; ``None`` for a size that is free.
    """

    name: str
    dtype: str | None
    shape: tuple[int | None, ...]


@dataclass(frozen=True)
class ModelInfo:
    """What the service says of its model.

    Attributes:
        inputs: Its inputs.
        outputs: Its outputs.
        platform: What it says that the model is, such as ``onnxruntime_onnx``; may be empty.
    """

    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    platform: str = ""


@dataclass(frozen=True)
class Provenance:
    """What runs the model, as far as the service tells.

    Attributes:
        source: Where it tells, such as ``/metadata``.
        provider: The execution provider; ``None`` if it is not told.
        threads: Threads of an operator; ``None`` if that is not told.
        model_sha256: The digest of the model's file; ``None`` if it is not told.
        words: What else it says, in words.
    """

    source: str
    provider: str | None = None
    threads: int | None = None
    model_sha256: str | None = None
    words: str = ""


def provenance_of(told: Mapping[str, Any], source: str) -> Provenance | None:
    """Return what a service's own metadata say: ``provider``, ``threads``, ``model_sha256``.

    Args:
        told: The metadata, or the parameters of an answer.
        source: Where they are, in words.

    Returns:
        What they say; ``None`` if none of these is among them.
    """
    provider, threads, digest = (told.get(k) for k in ("provider", "threads", "model_sha256"))
    if provider is None and threads is None and digest is None:
        return None
    return Provenance(
        source,
        None if provider is None else str(provider),
        int(threads) if isinstance(threads, int | float) else None,
        None if digest is None else str(digest),
    )


Counters = Mapping[str, tuple[float, float]]
"""Sums of milliseconds and of requests since the server started, by part of a request: ``queue``,
``compute``, ``request``.
"""


class Connection(Protocol):
    """One connection to a service, kept open. For one thread."""

    def ask(self, message: bytes) -> Answer:
        """Send a request that :meth:`Service.encode` made, and return the answer.

        Raises:
            UnreachableError: If no answer came in time, or the connection broke.
            RefusedRequestError: If the answer is an error.
        """

    def ping(self) -> None:
        """Make a round trip without a model: what the network, client and server cost alone.

        Raises:
            ServiceError: If there is no such request, or it fails.
        """

    def close(self) -> None:
        """Close it."""


class Service(Protocol):
    """A served model, by one protocol. Made from an :class:`Endpoint`."""

    def check_ready(self) -> None:
        """Return if service and model are ready.

        Raises:
            UnreachableError: If nobody answers there.
            RefusedRequestError: If the service is there, but does not have the model, or not yet.
        """

    def info(self) -> ModelInfo | None:
        """Return what the service says of its model; ``None`` if the protocol has no such request.

        Raises:
            ServiceError: If it cannot be read.
        """

    def encode(self, inputs: Mapping[str, NDArray[Any]], outputs: Sequence[str]) -> bytes:
        """Return the request of a call.

        Args:
            inputs: The inputs of the call by name, batch included.
            outputs: The names of the outputs to ask for; empty for all.
        """

    def decode(self, answer: Answer) -> dict[str, NDArray[Any]]:
        """Return the outputs by name, in the order of the answer.

        An output that the protocol does not name is called ``""``.

        Raises:
            RefusedRequestError: If it is no answer of the protocol.
        """

    def connect(self) -> Connection:
        """Return a new connection; it may be opened by the first request."""

    def provenance(self, answer: Answer | None = None) -> Provenance | None:
        """Return what runs the model; ``None`` if the service does not tell.

        Args:
            answer: An answer of the model, which may tell it, too.
        """

    def counters(self) -> Counters:
        """Return what the server counted so far; empty if it does not tell."""


@dataclass(frozen=True)
class ProtocolRecord:
    """A protocol by which models are served.

    Attributes:
        name: Its name in ``paretune verify --protocol NAME``.
        words: Who speaks it, in half a line.
        service: Makes a :class:`Service` from an :class:`Endpoint`.
    """

    name: str
    words: str
    service: Reference

    def open(self, endpoint: Endpoint) -> Service:
        """Return the service at an address; nothing is sent yet."""
        made: Service = resolve(self.service)(endpoint)
        return made


_HERE = "paretune.search.deliver.live.protocols"

PROTOCOLS: Registry[ProtocolRecord] = Registry(
    "protocol",
    "paretune.protocols",
    (
        f"{_HERE}.v2_http:V2_HTTP",
        f"{_HERE}.v2_grpc:V2_GRPC",
        f"{_HERE}.mlflow_invocations:MLFLOW",
        f"{_HERE}.json_service:JSON_SERVICE",
    ),
)
"""All protocols."""


def nested(array: NDArray[Any]) -> Any:
    """Return an array as JSON holds it: nested lists, bytes as text, float16 and others as numbers.

    Not-a-number and infinities stay what they are; JSON's writers make words of them that most
    servers read.
    """
    values = array.tolist()
    return values if array.dtype.kind not in "SO" else np.char.decode(array.astype("S")).tolist()
