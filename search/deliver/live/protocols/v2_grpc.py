"""The Open Inference Protocol (v2) over gRPC, with the messages of NVIDIA's client.

Requests are serialized before they are timed, and answers parsed afterwards: bytes go in and out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

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
    UnreachableError,
    provenance_of,
)
from paretune.spaces import ServiceError

V2_GRPC = ProtocolRecord(
    name="v2-grpc",
    words="the Open Inference Protocol over gRPC: Triton, OpenVINO Model Server, MLServer, KServe",
    service="paretune.search.deliver.live.protocols.v2_grpc:V2GrpcService",
)

_SERVICE = "/inference.GRPCInferenceService/"
_SECURE = ("https", "grpcs")
_CONTENTS = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
_AWAY = ("UNAVAILABLE", "DEADLINE_EXCEEDED")
_OPTIONS = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.use_local_subchannel_pool", 1),  # else all channels of a process share one socket
)


class V2GrpcService:
    """A model served by the protocol over gRPC; see :class:`Service`.

    Args:
        endpoint: Its address, such as ``grpc://host:8001`` or ``grpcs://…``; its model's name must
            be given.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        try:
            from tritonclient.grpc import service_pb2
        except (ImportError, RuntimeError) as error:  # RuntimeError: it is there without gRPC
            raise ServiceError(
                "the protocol v2-grpc needs NVIDIA's client: pip install 'paretune[live]'"
            ) from error

        self._endpoint = endpoint
        self._messages: Any = service_pb2
        self._asked = self.connect()

    def check_ready(self) -> None:
        """Return if server and model are ready."""
        answer = self._call("ServerReady", "ServerReadyRequest")
        ready = self._read("ServerReadyResponse", answer).ready
        if ready:
            answer = self._call("ModelReady", "ModelReadyRequest", name=self._endpoint.model)
            ready = self._read("ModelReadyResponse", answer).ready
        if not ready:
            raise RefusedRequestError(
                f"the model {self._endpoint.model!r} is not ready there: ModelReady",
                "ready: no",
                "",
            )

    def info(self) -> ModelInfo:
        """Return the model's metadata."""
        answer = self._call("ModelMetadata", "ModelMetadataRequest", name=self._endpoint.model)
        found = self._read("ModelMetadataResponse", answer)
        inputs, outputs = (
            tuple(
                TensorInfo(
                    each.name,
                    numpy_name(each.datatype),
                    tuple(None if size < 0 else int(size) for size in each.shape),
                )
                for each in tensors
            )
            for tensors in (found.inputs, found.outputs)
        )
        return ModelInfo(inputs, outputs, str(found.platform))

    def encode(self, inputs: Mapping[str, NDArray[Any]], outputs: Sequence[str]) -> bytes:
        """Return a serialized inference request."""
        request = self._messages.ModelInferRequest(model_name=self._endpoint.model)
        for name, array in inputs.items():
            tensor = request.inputs.add(name=name, datatype=v2_type(array), shape=array.shape)
            if tensor.datatype == "BYTES":
                texts = [each if isinstance(each, bytes) else str(each).encode() for each in array]
                tensor.contents.bytes_contents.extend(texts)
            else:
                request.raw_input_contents.append(array.tobytes())
        for name in outputs:
            request.outputs.add(name=name)
        return bytes(request.SerializeToString())

    def decode(self, answer: Answer) -> dict[str, NDArray[Any]]:
        """Return the outputs by name."""
        response = self._read("ModelInferResponse", answer)
        found = {}
        for place, each in enumerate(response.outputs):
            dtype = numpy_dtype(each.datatype)
            if response.raw_output_contents and each.datatype != "BYTES":
                array = np.frombuffer(response.raw_output_contents[place], dtype)
            else:
                field = _CONTENTS.get(each.datatype, "bytes_contents")
                array = np.array(list(getattr(each.contents, field)), dtype)
            found[each.name] = array.reshape([*each.shape])
        return found

    def connect(self) -> GrpcConnection:
        """Return a new connection."""
        return GrpcConnection(self._endpoint)

    def provenance(self, answer: Answer | None = None) -> Provenance | None:
        """Return what Triton's model configuration says, or an answer's parameters.

        Otherwise the metadata's platform, which names no provider.
        """
        from google.protobuf.json_format import MessageToDict

        try:
            answer = self._call("ModelConfig", "ModelConfigRequest", name=self._endpoint.model)
            config = self._read("ModelConfigResponse", answer).config
            return provenance_of_config(MessageToDict(config, preserving_proto_field_name=True))
        except ServiceError:
            pass
        if answer is not None:
            parameters = self._read("ModelInferResponse", answer).parameters
            told = {
                name: getattr(value, value.WhichOneof("parameter_choice") or "string_param")
                for name, value in parameters.items()
            }
            if (found := provenance_of(told, "each answer")) is not None:
                return found
        try:
            platform = self.info().platform
        except ServiceError:
            return None
        return Provenance("ModelMetadata", words=f"platform {platform}") if platform else None

    def counters(self) -> Counters:
        """Return what Triton's statistics count, or else the metrics of another port."""
        from google.protobuf.json_format import MessageToDict

        try:
            name = self._endpoint.model
            answer = self._call("ModelStatistics", "ModelStatisticsRequest", name=name)
            found = self._read("ModelStatisticsResponse", answer)
            return statistics_counters(MessageToDict(found, preserving_proto_field_name=True))
        except ServiceError:
            return prometheus_counters(self._endpoint) if self._endpoint.metrics_url else {}

    def _call(self, method: str, message: str, **values: Any) -> Answer:
        request = getattr(self._messages, message)(**values)
        return self._asked.call(method, request.SerializeToString())

    def _read(self, message: str, answer: Answer) -> Any:
        from google.protobuf.message import DecodeError

        try:
            return getattr(self._messages, message).FromString(answer.body)
        except DecodeError as error:
            raise RefusedRequestError(
                message, f"an answer that cannot be read ({error})", ""
            ) from (error)


class GrpcConnection:
    """One connection of its own: a channel that shares its socket with no other."""

    def __init__(self, endpoint: Endpoint) -> None:
        import grpc

        parts = urlsplit(endpoint.url if "//" in endpoint.url else f"grpc://{endpoint.url}")
        if not parts.hostname or parts.port is None:
            raise ServiceError(
                f"the address of a service over gRPC must be grpc://HOST:PORT; got {endpoint.url!r}"
            )
        self._endpoint = endpoint
        self._metadata = [(name.lower(), value) for name, value in endpoint.headers.items()]
        self._channel = (
            grpc.secure_channel(parts.netloc, grpc.ssl_channel_credentials(), options=_OPTIONS)
            if parts.scheme in _SECURE
            else grpc.insecure_channel(parts.netloc, options=_OPTIONS)
        )
        self._methods: dict[str, Any] = {}

    def ask(self, message: bytes) -> Answer:
        """Send an inference request; see :class:`Connection`."""
        return self.call("ModelInfer", message)

    def ping(self) -> None:
        """Ask whether the server is ready."""
        self.call("ServerReady", b"")

    def close(self) -> None:
        """Close the channel."""
        self._channel.close()

    def call(self, method: str, message: bytes) -> Answer:
        """Return the answer of a method to a serialized request.

        Raises:
            UnreachableError: If no answer came in time.
            RefusedRequestError: If the answer is an error.
        """
        import grpc

        if method not in self._methods:  # without serializers, bytes go in and out
            self._methods[method] = self._channel.unary_unary(_SERVICE + method)
        timeout = self._endpoint.timeout_s
        try:
            body = self._methods[method](message, timeout=timeout, metadata=self._metadata)
        except grpc.RpcError as error:
            code, details = error.code().name, error.details() or ""
            if code in _AWAY:
                raise UnreachableError(
                    f"{self._endpoint.url} cannot be reached ({method}: {code}, {details}); is the "
                    "service running, and is this the port of gRPC?"
                ) from error
            raise RefusedRequestError(method, code, details) from error
        return Answer(bytes(body))
