"""A plain loop on a card (or a processor), in a process that knows nothing of Paretune.

    python plain_loop.py PROVIDER MODEL INPUTS BATCH_SIZE [OPTIONS [THREADS]]

PROVIDER is one of ONNX Runtime's, or eager-cuda, compile-cuda, eager-cpu, compile-cpu for a program
of ``torch.export``; INPUTS is a .npy file, OPTIONS the provider's as JSON. Loads the model, prints
``{"ready": ...}``, and then obeys lines of its standard input:

- ``time WARMUP_S SECONDS``: calls on one batch for that long. A call starts with an array in the
  host's memory and ends with its answers there, copies and synchronization included. Prints p50 and
  p95 of ``perf_counter`` around it, and, on a card, the p50 of two CUDA events around the model
  alone, whose input is on the card already (``device_p50_ms``).
- ``answers PATH``: runs all inputs, batch by batch, and saves the first output.
"""

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

Call = Callable[[np.ndarray], np.ndarray]


def main(
    provider: str, model: str, inputs: str, batch_size: str, options: str = "{}", threads: str = "1"
) -> None:
    """Obey."""
    rows, size = np.load(inputs), int(batch_size)
    load = torch_calls if provider.startswith(("eager-", "compile-")) else onnxruntime_calls
    batch = np.ascontiguousarray(rows[:size])
    call, on_device = load(model, provider, json.loads(options), batch, int(threads))
    call(batch)
    print(json.dumps({"ready": provider}), flush=True)
    for line in sys.stdin:
        what, *given = line.split()
        if what == "time":
            found = timed(call, on_device, batch, float(given[0]), float(given[1]))
        else:
            np.save(given[0], answers(call, rows, size))
            found = {"answers": len(rows)}
        print(json.dumps(found), flush=True)


def timed(
    call: Call,
    on_device: Callable[[], float] | None,
    batch: np.ndarray,
    warmup: float,
    limit: float,
) -> dict[str, float | None]:
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
    device: list[float] = []
    until = time.perf_counter() + limit / 2
    while on_device is not None and (time.perf_counter() < until or len(device) < 30):
        device.append(on_device())
    return {
        "p50_ms": float(np.percentile(times, 50)),
        "p95_ms": float(np.percentile(times, 95)),
        "device_p50_ms": float(np.median(device)) if device else None,
    }


def answers(call: Call, rows: np.ndarray, size: int) -> np.ndarray:
    """Return the first output for all rows; the last batch is filled up from the start."""
    places = [np.arange(start, start + size) % len(rows) for start in range(0, len(rows), size)]
    found = [np.array(call(np.ascontiguousarray(rows[each]))) for each in places]
    return np.concatenate(found)[: len(rows)]


def onnxruntime_calls(
    model: str, provider: str, options: dict[str, Any], example: np.ndarray, threads: int
) -> tuple[Call, Callable[[], float] | None]:
    """Return a call of a session, and one on the card that returns its time by events."""
    is_card = provider.startswith("CUDA")
    if is_card:
        import torch  # for its events; it also loads CUDA's libraries, which the provider needs
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = threads
    settings.inter_op_num_threads = 1
    settings.log_severity_level = 3
    if is_card:
        stream = torch.cuda.Stream()
        options = {**options, "user_compute_stream": str(stream.cuda_stream)}
    session = onnxruntime.InferenceSession(model, settings, providers=[(provider, options)])
    session.disable_fallback()
    if session.get_providers()[0] != provider:
        sys.exit(f"asked for {provider}, got {session.get_providers()}")
    name, outputs = session.get_inputs()[0].name, [each.name for each in session.get_outputs()]

    def call(batch: np.ndarray) -> np.ndarray:
        answer: np.ndarray = session.run(outputs, {name: batch})[0]
        return answer

    if not is_card:
        return call, None
    card = session.io_binding()
    card.bind_ortvalue_input(name, onnxruntime.OrtValue.ortvalue_from_numpy(example, "cuda", 0))
    for output in outputs:
        card.bind_output(output, "cuda", 0)
    started, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))

    def on_device() -> float:
        started.record(stream)
        session.run_with_iobinding(card)
        ended.record(stream)
        ended.synchronize()
        return float(started.elapsed_time(ended))

    return call, on_device


def torch_calls(
    model: str, provider: str, options: dict[str, Any], example: np.ndarray, threads: int
) -> tuple[Call, Callable[[], float] | None]:
    """Return a call of a program, and one on the card that returns its time by events."""
    import torch

    torch.set_num_threads(threads)
    mode, _, kind = provider.partition("-")
    program = torch.export.load(model)
    if kind == "cuda":
        from torch.export.passes import move_to_device_pass

        # fp32 means fp32: TF32 would be another, coarser format.
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
        program = move_to_device_pass(program, "cuda")
    module = program.module()
    if mode == "compile":
        module = torch.compile(module, fullgraph=True, dynamic=False)

    def on_processor(batch: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            answer: np.ndarray = module(torch.from_numpy(batch)).numpy()
        return answer

    if kind == "cpu":
        return on_processor, None
    # Pinned memory on both sides, as a service has it: the batch lies there before the call.
    sent = torch.from_numpy(example).pin_memory()
    with torch.inference_mode():
        received = torch.empty_like(module(sent.to("cuda")), device="cpu").pin_memory()

    def call(batch: np.ndarray) -> np.ndarray:
        if batch is not example:
            sent.copy_(torch.from_numpy(batch))
        with torch.inference_mode():
            received.copy_(module(sent.to("cuda", non_blocking=True)), non_blocking=True)
        torch.cuda.synchronize()
        found: np.ndarray = received.numpy()
        return found

    there = sent.to("cuda")
    started, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))

    def on_device() -> float:
        with torch.inference_mode():
            started.record()
            module(there)
            ended.record()
        ended.synchronize()
        return float(started.elapsed_time(ended))

    return call, on_device


if __name__ == "__main__":
    main(*sys.argv[1:])
