"""What does a CPU hog do to a measurement, and what does the protocol do about it?

    python experiments/benchmarks/noisy_neighbour.py [--hog-seconds 8]

Times one model on one thread four ways: by the protocol, and by a plain loop, on the quiet machine;
by a plain loop, with busy processes on every core for its second half; and by the protocol, with
the same processes started soon after its start. It prints p50 and p95 of each.
"""

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from models import write_fp32, write_inputs

from paretune.runners.failure import Failure
from paretune.runners.measure.launch_statistics import summarize
from paretune.runners.measure.protocol import Timing, time_model
from paretune.runners.runtimes.onnxruntime_runner import OnnxRuntimeRunner
from paretune.runners.runtimes.runner import Samples
from paretune.runners.runtimes.settings import CAREFUL
from paretune.spaces import RunSpec

HOGS_PER_CORE = 2
RUN = RunSpec("onnxruntime", "CPUExecutionProvider", 1, 1)


def main() -> int:
    """Print the table; return 1 if the protocol is off by over 15 %, or the loop by under 2×."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hog-seconds", type=float, default=8.0)
    seconds = parser.parse_args().hog_seconds
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model, samples = write_fp32(folder / "m.onnx"), Samples([write_inputs(folder / "i.npy")])
        quiet = measure(model, samples, folder)
        show("protocol, quiet", quiet, *percentiles(quiet))
        loop = np.percentile(plain_loop(model, samples, 2 * seconds), (50, 95))
        show("plain loop, quiet", None, *loop)
        with hogs(after=seconds, for_seconds=seconds):
            noisy = np.percentile(plain_loop(model, samples, 2 * seconds), (50, 95))
        show("plain loop, hog", None, *noisy)
        time.sleep(1.0)
        with hogs(after=2.0, for_seconds=seconds):
            disturbed = measure(model, samples, folder)
        show("protocol, hog", disturbed, *percentiles(disturbed))
    ours = percentiles(disturbed)[1] / percentiles(quiet)[1]
    theirs = noisy[1] / loop[1]
    print(f"p95 with the hog ÷ p95 without: protocol {ours:.2f}, plain loop {theirs:.2f}")
    return 0 if abs(ours - 1) <= 0.15 and theirs > 2 and disturbed.contaminated else 1


def plain_loop(model: Path, samples: Samples, seconds: float) -> list[float]:
    """Return the times of a plain loop in a separate process, in milliseconds."""
    script = Path(__file__).with_name("plain_loop.py")
    job = [
        RUN.runner,
        RUN.execution_provider,
        "{}",
        model,
        samples.inputs[0],
        RUN.batch_size,
        seconds,
    ]
    command = [str(part) for part in (sys.executable, script, *job)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    times: list[float] = json.loads(done.stdout.splitlines()[-1])
    return times


def measure(model: Path, samples: Samples, folder: Path) -> Timing:
    """Measure by the protocol, carefully."""
    timing = time_model(OnnxRuntimeRunner(), model, RUN, samples, folder, CAREFUL)
    if isinstance(timing, Failure):
        raise SystemExit(timing.message)
    return timing


def percentiles(timing: Timing) -> tuple[float, float]:
    """Return p50 and p95 in milliseconds."""
    statistics = summarize(timing.launches, RUN.batch_size, timing.first)
    return statistics["latency_p50_ms"].value, statistics["latency_p95_ms"].value


def show(what: str, timing: Timing | None, p50_ms: float, p95_ms: float) -> None:
    """Print one line."""
    counted = ""
    if timing is not None:
        counted = (
            f"   {len(timing.launches)} launches, {timing.contaminated} disturbed and repeated"
        )
    print(f"{what:<18} p50 {p50_ms:8.4f} ms   p95 {p95_ms:8.4f} ms{counted}", flush=True)


@contextmanager
def hogs(after: float, for_seconds: float) -> Iterator[None]:
    """Keep every core busy with other processes, after a delay and for a while."""

    def start() -> None:
        stop = time.time() + for_seconds
        cores = sorted(os.sched_getaffinity(0)) * HOGS_PER_CORE
        processes = [multiprocessing.Process(target=burn, args=(core, stop)) for core in cores]
        for process in processes:
            process.start()
        for process in processes:
            process.join()

    timer = threading.Timer(after, start)
    timer.start()
    try:
        yield
    finally:
        timer.join()


def burn(core: int, stop: float) -> None:
    """Use all of one core."""
    os.sched_setaffinity(0, {core})
    while time.time() < stop:
        sum(range(10_000))


if __name__ == "__main__":
    sys.exit(main())
