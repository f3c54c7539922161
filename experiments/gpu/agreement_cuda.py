"""Does a runner's p50 on a card agree with a plain CUDA loop that knows nothing of Paretune?

    python agreement_cuda.py STUDY.yaml [--seconds 100] [--out agreement.json]

For ONNX Runtime's CUDA provider and eager PyTorch, at batch 1 and 32, on the reference of the
study: launches of the runner and plain loops (plain_loop.py) take turns in rounds of ABBA on the
same core, so that drift leaves their ratio alone. A launch is a fresh process, as always; the plain
loops wait in two processes that were started before, because to start one takes seconds. The ratio
has a t interval over rounds. The plain loop's wall clock is compared with the launch's p50, and its
CUDA events around the model with the launch's time on the card, where the launch has one. Without a
card, the processor's providers are compared instead, and that is said.
"""

import argparse
import json
import math
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from artifacts import FORMAT_OF, Artifacts
from plain_process import PlainProcess
from this_machine import providers

from paretune.runners.failure import Failure
from paretune.runners.measure.statistic import Statistic
from paretune.runners.runtimes.launch import Launch
from paretune.runners.runtimes.lease import lease
from paretune.runners.runtimes.process_runner import ProcessRunner
from paretune.runners.runtimes.registry import RUNTIMES
from paretune.runners.runtimes.runner import Samples
from paretune.runners.runtimes.settings import MeasurementSettings
from paretune.spaces import RunSpec

TOLERANCE = 0.03
LEAST_ROUNDS = 3
MOST_ROUNDS = 12
WARMUP_S, TIMED_S = 0.5, 0.4
ON_A_CARD = (("onnxruntime", "CUDAExecutionProvider"), ("pytorch", "eager-cuda"))
ON_A_PROCESSOR = (("onnxruntime", "CPUExecutionProvider"), ("pytorch", "eager-cpu"))
BATCH_SIZES = (1, 32)
DEVICE_TIMES = ("device_latency_ms", "device_ms", "kernel_ms", "gpu_ms")


def main() -> int:
    """Print one line per combination; return 1 if a ratio exceeds the tolerance."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("study", type=Path)
    parser.add_argument("--seconds", type=float, default=100.0)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    here = providers()
    targets = [each for each in ON_A_CARD if each[1] in here[each[0]]]
    missing = [provider for name, provider in ON_A_CARD if (name, provider) not in targets]
    if missing:
        print(f"no card here for {', '.join(missing)}")
    targets = targets or list(ON_A_PROCESSOR)
    artifacts, found = Artifacts(arguments.study), []
    combinations = [(*target, size) for target in targets for size in BATCH_SIZES]
    ends = time.monotonic() + arguments.seconds
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        samples = artifacts.samples(folder)
        for place, (runner_name, provider, size) in enumerate(combinations):
            runner = RUNTIMES.get(runner_name).make_runner()
            model = artifacts.file("fp32", FORMAT_OF[runner_name])
            if isinstance(model, Failure):
                sys.exit(f"{runner_name}: {model.message}")
            limit = time.monotonic() + (ends - time.monotonic()) / (len(combinations) - place)
            run = RunSpec(runner_name, provider, size, 1)
            found.append(compared(runner, run, model, samples, folder, limit))
            print(words(found[-1]), flush=True)
    result = {"tolerance": TOLERANCE, "missing": missing, "rows": found}
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=1), "utf-8")
    worst = max(abs(row["wall"]["ratio"] - 1) for row in found)
    print(f"furthest from 1, wall clock: {worst:.3f} (allowed {TOLERANCE})")
    return 0 if worst <= TOLERANCE and not missing else 1


def compared(
    runner: ProcessRunner, run: RunSpec, model: Path, samples: Samples, folder: Path, limit: float
) -> dict[str, Any]:
    """Return medians and ratios of a combination, after as many rounds as there is time for."""
    wall: list[tuple[float, float]] = []
    device: list[tuple[float, float]] = []
    events: list[float] = []
    with ExitStack() as stack:
        held = stack.enter_context(lease(runner.device(run)))
        loops = [
            stack.enter_context(
                PlainProcess(
                    runner.python,
                    run.execution_provider,
                    model,
                    samples.inputs[0],
                    run.batch_size,
                    runner.options(run),
                    runner.cores(run),
                )
            )
            for _ in range(2)
        ]
        settings = MeasurementSettings(
            warmup_seconds=WARMUP_S, min_seconds=TIMED_S, timeout_s=120.0
        )
        longest = 0.0
        while len(wall) < LEAST_ROUNDS or (
            len(wall) < MOST_ROUNDS and time.monotonic() + longest < limit
        ):
            began = time.monotonic()
            launches: list[Launch] = []
            plain: list[dict[str, Any]] = []
            for turn in "ABBA":
                if turn == "B":
                    plain.append(loops[len(plain)].time(WARMUP_S, TIMED_S))
                    continue
                launch = runner.launch(model, run, samples, folder, settings, held)
                if isinstance(launch, Failure):
                    sys.exit(f"{run.target}: {launch.message}\n{launch.log}")
                launches.append(launch)
            ours = geometric([launch.percentile(50) for launch in launches])
            wall.append((ours, geometric([each["p50_ms"] for each in plain])))
            of_plain = [each["device_p50_ms"] for each in plain if each["device_p50_ms"]]
            of_ours = [ms for launch in launches if (ms := device_p50_ms(launch)) is not None]
            if of_plain:
                events.append(geometric(of_plain))
            if of_plain and of_ours:
                device.append((geometric(of_ours), geometric(of_plain)))
            longest = max(longest, time.monotonic() - began)
    return {
        "target": run.target,
        "batch_size": run.batch_size,
        "rounds": len(wall),
        "wall": ratio(wall),
        "events_ms": float(np.median(events)) if events else None,
        "device": ratio(device) if device else None,
    }


def device_p50_ms(launch: Launch) -> float | None:
    """Return the median time on the card without copies, if the launch has it."""
    for name in DEVICE_TIMES:
        times = getattr(launch, name, None)
        if times is not None:
            return float(np.median(times))
    return None


def ratio(turns: Sequence[tuple[float, float]]) -> dict[str, Any]:
    """Return the runner's time ÷ the loop's, with a t interval over rounds of their logarithm."""
    logs = Statistic.over_launches([math.log(ours / plain) for ours, plain in turns])
    ends = [None if end is None else math.exp(end) for end in (logs.low, logs.high)]
    ours, plain = (float(np.median(each)) for each in zip(*turns, strict=True))
    return {
        "runner_ms": ours,
        "loop_ms": plain,
        "ratio": math.exp(logs.value),
        "low": ends[0],
        "high": ends[1],
    }


def geometric(values: Sequence[float]) -> float:
    """Return the geometric mean."""
    return math.exp(sum(map(math.log, values)) / len(values))


def words(row: dict[str, Any]) -> str:
    """Return a row as a line."""
    wall, device = row["wall"], row["device"]
    line = (
        f"{row['target']:<36} batch {row['batch_size']:>2}: runner {wall['runner_ms']:.4f} ms, "
        f"loop {wall['loop_ms']:.4f} ms, ratio {wall['ratio']:.3f} "
        f"[{wall['low'] or math.nan:.3f}, {wall['high'] or math.nan:.3f}], {row['rounds']} rounds"
    )
    if device:
        line += f"; on the card {device['runner_ms']:.4f} ms, events {device['loop_ms']:.4f} ms, "
        line += f"ratio {device['ratio']:.3f}"
    elif row["events_ms"]:
        line += f"; events around the model {row['events_ms']:.4f} ms"
    return line


if __name__ == "__main__":
    sys.exit(main())
