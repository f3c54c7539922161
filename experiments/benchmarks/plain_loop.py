"""A plain timing loop in a separate process, which knows nothing of Paretune.

    python plain_loop.py RUNTIME PROVIDER OPTIONS MODEL INPUTS BATCH_SIZE SECONDS

OPTIONS are the provider's, as JSON. Warms up for a second, then times calls on one thread, and
prints the times in milliseconds as JSON.
"""

import json
import sys
import time
from collections.abc import Callable

import numpy as np


def main(
    runtime: str,
    provider: str,
    options: str,
    model: str,
    inputs: str,
    batch_size: str,
    seconds: str,
) -> None:
    """Time the model and print."""
    load = {"onnxruntime": onnxruntime_call, "openvino": openvino_call}[runtime]
    call = load(provider, json.loads(options), model, np.load(inputs)[: int(batch_size)])
    until = time.perf_counter() + 0.5
    while time.perf_counter() < until:
        call()
    times: list[float] = []
    until = time.perf_counter() + float(seconds)
    while time.perf_counter() < until or len(times) < 30:
        started = time.perf_counter_ns()
        call()
        times.append((time.perf_counter_ns() - started) / 1e6)
    print(json.dumps(times))


def onnxruntime_call(
    provider: str, options: dict[str, str], model: str, batch: np.ndarray
) -> Callable[[], object]:
    """Return a call of an ONNX Runtime session."""
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, settings, providers=[(provider, options)])
    return lambda: session.run(None, {"input": batch})


def openvino_call(
    provider: str, options: dict[str, str], model: str, batch: np.ndarray
) -> Callable[[], object]:
    """Return a call of an OpenVINO infer request."""
    import openvino

    core = openvino.Core()
    network = core.read_model(model)
    network.reshape(list(batch.shape))
    request = core.compile_model(network, provider, options).create_infer_request()
    # A dict: of a list, OpenVINO's Python interface makes one at every call, for some 40 µs.
    feed = {0: batch}
    return lambda: request.infer(feed, share_inputs=True, share_outputs=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
