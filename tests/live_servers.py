"""Small real servers in this process: they run a bundle's model for what they are asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnxruntime

Route = Callable[["Handler", bytes], tuple[int, dict[str, str], bytes]]
TYPES = {"tensor(float)": "FP32", "tensor(int64)": "INT64"}


class Handler(BaseHTTPRequestHandler):
    """Answers by the server's routes; connections stay open."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # an answer in one packet: else Nagle's algorithm and delayed ACKs add 40 ms
    routes: ClassVar[dict[tuple[str, str], Route]] = {}

    def do_GET(self) -> None:
        self._answer("GET")

    def do_POST(self) -> None:
        self._answer("POST")

    def _answer(self, method: str) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        route = self.routes.get((method, self.path))
        if route is None:
            status, headers, answer = 404, {}, b'{"error": "there is no such path"}'
        else:
            status, headers, answer = route(self, body)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def served(routes: dict[tuple[str, str], Route]) -> Iterator[str]:
    """Serve routes on a free port; yield the address."""
    handler = type("Routes", (Handler,), {"routes": routes})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Model:
    """A model in ONNX Runtime, for servers."""

    def __init__(self, file: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            file, options, providers=["CPUExecutionProvider"]
        )

    def run(self, feed: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        names = [each.name for each in self.session.get_outputs()]
        return dict(zip(names, self.session.run(names, feed), strict=True))

    def feed(self, values: dict[str, Any]) -> dict[str, np.ndarray]:
        dtypes = {"tensor(float)": np.float32, "tensor(int64)": np.int64}
        return {
            each.name: np.asarray(values[each.name], dtypes[each.type])
            for each in self.session.get_inputs()
        }

    def metadata(self) -> dict[str, Any]:
        """Its metadata as the Open Inference Protocol has them."""

        def tensors(given: Any) -> list[dict[str, Any]]:
            return [
                {
                    "name": each.name,
                    "datatype": TYPES[each.type],
                    "shape": [size if isinstance(size, int) else -1 for size in each.shape],
                }
                for each in given
            ]

        inputs, outputs = self.session.get_inputs(), self.session.get_outputs()
        return {
            "name": "toy",
            "platform": "onnx",
            "inputs": tensors(inputs),
            "outputs": tensors(outputs),
        }


def ok(value: Any = None, headers: dict[str, str] | None = None) -> Route:
    """Return a route that always says this."""
    body = value if isinstance(value, bytes) else json.dumps(value or {}).encode()
    return lambda *_: (200, headers or {}, body)


def v2_routes(model: Model, name: str, *, binary: bool = False) -> dict[tuple[str, str], Route]:
    """Return the routes of a server that speaks the Open Inference Protocol."""

    def infer(handler: Handler, body: bytes) -> tuple[int, dict[str, str], bytes]:
        head = int(handler.headers.get("Inference-Header-Content-Length") or len(body))
        request, at, values = json.loads(body[:head]), head, {}
        for each in request["inputs"]:
            size = each.get("parameters", {}).get("binary_data_size")
            flat = each["data"] if size is None else np.frombuffer(body[at : at + size], np.float32)
            at += size or 0
            values[each["name"]] = np.reshape(flat, each["shape"])
        outputs, raw = [], b""
        for key, array in model.run(model.feed(values)).items():
            told: dict[str, Any] = {"name": key, "datatype": "FP32", "shape": list(array.shape)}
            if binary:
                raw += array.tobytes()
                told["parameters"] = {"binary_data_size": array.nbytes}
            else:
                told["data"] = array.ravel().tolist()
            outputs.append(told)
        answer = json.dumps({"model_name": name, "outputs": outputs}).encode()
        headers = {"Inference-Header-Content-Length": str(len(answer))} if binary else {}
        return 200, headers, answer + raw

    extensions = ["binary_tensor_data"] if binary else []
    return {
        ("GET", "/v2"): ok({"name": "test", "extensions": extensions}),
        ("GET", "/v2/health/ready"): ok(),
        ("POST", "/v2/repository/index"): ok([{"name": name, "state": "READY"}]),
        ("GET", f"/v2/models/{name}"): ok(model.metadata()),
        ("GET", f"/v2/models/{name}/ready"): ok(),
        ("POST", f"/v2/models/{name}/infer"): infer,
    }


def json_routes(model: Model, metadata: dict[str, Any]) -> dict[tuple[str, str], Route]:
    """Return the routes of a service behind ``/predict``."""

    def predict(_: Handler, body: bytes) -> tuple[int, dict[str, str], bytes]:
        found = model.run(model.feed(json.loads(body)["inputs"]))
        outputs = {name: array.tolist() for name, array in found.items()}
        return 200, {}, json.dumps({"outputs": outputs}).encode()

    return {
        ("GET", "/readyz"): ok(),
        ("GET", "/metadata"): ok(metadata),
        ("POST", "/predict"): predict,
    }


def mlflow_routes(model: Model) -> dict[tuple[str, str], Route]:
    """Return the routes of MLflow's scoring server."""

    def invocations(_: Handler, body: bytes) -> tuple[int, dict[str, str], bytes]:
        values = json.loads(body)["inputs"]
        names = [each.name for each in model.session.get_inputs()]
        feed = model.feed(values if isinstance(values, dict) else {names[0]: values})
        found = {name: array.tolist() for name, array in model.run(feed).items()}
        return 200, {}, json.dumps({"predictions": found}).encode()

    return {
        ("GET", "/ping"): ok(b"\n"),
        ("GET", "/version"): ok(b"3.17.2"),
        ("POST", "/invocations"): invocations,
    }
