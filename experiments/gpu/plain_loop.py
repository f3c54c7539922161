"""A plain loop on a card (or a processor), in a process that knows nothing of Paretune.

    python plain_loop.py PROVIDER MODEL INPUTS BATCH_SIZE [OPTIONS [THREADS]]

PROVIDER is one of ONNX Runtime's, or for a program of ``torch.export`` eager-cuda, compile-cuda
(both also with -graphs), eager-cpu or compile-cpu; INPUTS is a .npy file, OPTIONS the provider's as
JSON. Loads the model, prints ``{"ready": ...}``, and then obeys lines of its standard input:

- ``time WARMUP_S SECONDS``: calls on one batch for that long. A call starts with a batch in the
  host's memory (page-locked, if there is a card) and ends with its answers there, copies and
  synchronization included. Prints p50 and p95 of ``perf_counter`` around it. On a card it also
  prints the p50 of the model alone, whose data stay on the card: by ``perf_counter``
  (``resident_p50_ms``) and by two CUDA events (``events_p50_ms``).
- ``answers PATH``: runs all inputs, batch by batch, and saves the first output.
"""

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

Call = Callable[[np.ndarray], np.ndarray]
Resident = Callable[[], tuple[float, float]]
"""Runs the model on data on the card; returns milliseconds by the clock and by events."""


def main(
    provider: str, model: str, inputs: str, batch_size: str, options: str = "{}", threads: str = "1"
) -> None:
    """Obey."""
    rows, size = np.load(inputs), int(batch_size)
    batch = np.ascontiguousarray(rows[:size])
    load = torch_calls if provider.startswith(("eager-", "compile-")) else onnxruntime_calls
    call, resident = load(model, provider, json.loads(options), batch, int(threads))
    call(batch)
    print(json.dumps({"ready": provider}), flush=True)
    for line in sys.stdin:
        what, *given = line.split()
        if what == "time":
            found: dict[str, Any] = timed(call, resident, batch, float(given[0]), float(given[1]))
        else:
            np.save(given[0], answers(call, rows, size))
            found = {"answers": len(rows)}
        print(json.dumps(found), flush=True)


def timed(
    call: Call, resident: Resident | None, batch: np.ndarray, warmup: float, limit: float
) -> dict[str, Any]:
    """Return percentiles of the time of a call, in milliseconds."""
    until = time.perf_counter() + warmup
    while time.perf_counter() < until:
        call(batch)
    times: list[float] = []
    until = time.perf_counter() + limit
    while time.perf_counter() < until or len(times) < 30:
        started = time.perf_counter_ns()
        call(batch)
        times.append((time.perf_counter_ns() - started) / 1e6)
    found: dict[str, Any] = {
        "p50_ms": float(np.percentile(times, 50)),
        "p95_ms": float(np.percentile(times, 95)),
        "resident_p50_ms": None,
        "events_p50_ms": None,
    }
    if resident is not None:
        pairs: list[tuple[float, float]] = []
        until = time.perf_counter() + limit / 2
        while time.perf_counter() < until or len(pairs) < 30:
            pairs.append(resident())
        clock, events = np.median(pairs, axis=0)
        found |= {"resident_p50_ms": float(clock), "events_p50_ms": float(events)}
    return found


def answers(call: Call, rows: np.ndarray, size: int) -> np.ndarray:
    """Return the first output for all rows; the last batch is filled up from the start."""
    places = [np.arange(start, start + size) % len(rows) for start in range(0, len(rows), size)]
    found = [np.array(call(np.ascontiguousarray(rows[each]))) for each in places]
    return np.concatenate(found)[: len(rows)]


def onnxruntime_calls(
    model: str, provider: str, options: dict[str, Any], example: np.ndarray, threads: int
) -> tuple[Call, Resident | None]:
    """Return a call of a session, and one whose data stay on the card."""
    is_card = provider.startswith("CUDA")
    if is_card:
        import torch  # for buffers and events; it also loads the libraries that the provider needs

        # One stream for copies and kernels. A CUDA graph is captured on a stream of its own.
        has_graph = options.get("enable_cuda_graph") == "1"
        stream = torch.cuda.Stream()
        torch.cuda.set_stream(stream)
        if not has_graph:
            options = {**options, "user_compute_stream": str(stream.cuda_stream)}
    import onnxruntime

    if is_card:
        onnxruntime.preload_dlls()
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = threads
    settings.inter_op_num_threads = 1
    settings.log_severity_level = 3
    session = onnxruntime.InferenceSession(model, settings, providers=[(provider, options)])
    session.disable_fallback()
    if session.get_providers()[0] != provider:
        sys.exit(f"asked for {provider}, got {session.get_providers()}")
    [given], [answer] = session.get_inputs(), session.get_outputs()

    def on_processor(batch: np.ndarray) -> np.ndarray:
        found: np.ndarray = session.run([answer.name], {given.name: batch})[0]
        return found

    if not is_card:
        return on_processor, None
    # Each dynamic dimension of the answer is the batch.
    shape = [size if isinstance(size, int) else len(example) for size in answer.shape]
    sent, received = torch.from_numpy(example).pin_memory(), torch.empty(shape).pin_memory()
    there, result = sent.to("cuda"), received.to("cuda")
    bound = session.io_binding()
    kind = example.dtype.type
    bound.bind_input(given.name, "cuda", 0, kind, example.shape, there.data_ptr())
    bound.bind_output(answer.name, "cuda", 0, np.float32, shape, result.data_ptr())

    def call(batch: np.ndarray) -> np.ndarray:
        if batch is not example:
            sent.copy_(torch.from_numpy(batch))
        there.copy_(sent, non_blocking=True)
        if has_graph:
            stream.synchronize()
        session.run_with_iobinding(bound)
        received.copy_(result, non_blocking=True)
        stream.synchronize()
        found: np.ndarray = received.numpy()
        return found

    started, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))

    def resident() -> tuple[float, float]:
        began = time.perf_counter_ns()
        started.record(stream)
        session.run_with_iobinding(bound)
        ended.record(stream)
        ended.synchronize()
        clock = (time.perf_counter_ns() - began) / 1e6
        # Events of this stream do not see a graph on another one.
        return clock, clock if has_graph else float(started.elapsed_time(ended))

    return call, resident


def torch_calls(
    model: str, provider: str, options: dict[str, Any], example: np.ndarray, threads: int
) -> tuple[Call, Resident | None]:
    """Return a call of a program, and one whose data stay on the card."""
    import torch

    torch.set_num_threads(threads)
    mode, kind, *more = provider.split("-")
    program = torch.export.load(model)
    if kind == "cuda":
        from torch.export.passes import move_to_device_pass

        # fp32 means fp32: TF32 would be another, coarser format.
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.benchmark = mode == "compile" or bool(more)
        program = move_to_device_pass(program, "cuda")
    module: Callable[..., Any] = program.module()
    if mode == "compile":
        module = torch.compile(module, fullgraph=True, dynamic=False)

    def on_processor(batch: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            found: np.ndarray = module(torch.from_numpy(batch)).numpy()
        return found

    if kind == "cpu":
        return on_processor, None
    sent = torch.from_numpy(example).pin_memory()
    there = sent.to("cuda")
    graph = None
    with torch.inference_mode():
        result = module(there)
        received = torch.empty_like(result, device="cpu").pin_memory()
        if more:
            graph, result = captured(torch, module, there)

    def call(batch: np.ndarray) -> np.ndarray:
        if batch is not example:
            sent.copy_(torch.from_numpy(batch))
        with torch.inference_mode():
            if graph is None:
                received.copy_(module(sent.to("cuda", non_blocking=True)), non_blocking=True)
            else:
                there.copy_(sent, non_blocking=True)
                graph.replay()
                received.copy_(result, non_blocking=True)
        torch.cuda.current_stream().synchronize()
        found: np.ndarray = received.numpy()
        return found

    started, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))

    def resident() -> tuple[float, float]:
        began = time.perf_counter_ns()
        with torch.inference_mode():
            started.record()
            if graph is None:
                module(there)
            else:
                graph.replay()
            ended.record()
        ended.synchronize()
        clock = (time.perf_counter_ns() - began) / 1e6
        return clock, float(started.elapsed_time(ended))

    return call, resident


def captured(torch: Any, module: Callable[..., Any], there: Any) -> tuple[Any, Any]:
    """Return a CUDA graph of a call, and its output."""
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(3):
            module(there)
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = module(there)
    return graph, result


if __name__ == "__main__":
    main(*sys.argv[1:])
