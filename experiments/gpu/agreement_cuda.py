"""Does a runner's p50 on a card agree with a plain CUDA loop that knows nothing of Paretune?

    python agreement_cuda.py STUDY.yaml [--seconds 100] [--out agreement.json]

For ONNX Runtime's CUDA provider and eager PyTorch, at batch 1 and 32, on the reference of the
study: launches of the runner and turns of a plain loop (plain_loop.py) alternate on the same cores.
Each launch is compared with the turns before and after it, so that drift leaves the ratio alone. A
launch is a fresh process, as always; the plain loop waits in a process that was started before,
because to start one takes seconds. The ratio has a t interval over launches. The plain loop's wall
clock is compared with the launch's p50, and its CUDA events around the model alone with the
launch's device latency, whose data stay on the card. Without a card, the processor's providers are
compared instead, and that is said.
"""

import argparse
import itertools
import json
import math
import sys
import tempfile
import time
from collections.abc import Sequence
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
LEAST_LAUNCHES = 3
MOST_LAUNCHES = 12
WARMUP_S, TIMED_S = 0.5, 0.4
ON_A_CARD = (("onnxruntime", "CUDAExecutionProvider"), ("pytorch", "eager-cuda"))
ON_A_PROCESSOR = (("onnxruntime", "CPUExecutionProvider"), ("pytorch", "eager-cpu"))
BATCH_SIZES = (1, 32)
# By default, each process times cuDNN's algorithms and may choose others than the last one. That is
# a part of a launch's variance, but here two loops are compared, not two choices.
OPTIONS = {"CUDAExecutionProvider": {"cudnn_conv_algo_search": "HEURISTIC"}}


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
            runner = RUNTIMES.get(runner_name).make_runner(provider_options=OPTIONS)
            model = artifacts.file("fp32", FORMAT_OF[runner_name])
            if isinstance(model, Failure):
                sys.exit(f"{runner_name}: {model.message}")
            limit = time.monotonic() + (ends - time.monotonic()) / (len(combinations) - place)
            run = RunSpec(runner_name, provider, size, 1)
            found.append(compared(runner, run, model, samples, folder, limit))
            print(words(found[-1]), flush=True)
            if arguments.out:
                result = {"tolerance": TOLERANCE, "missing": missing, "rows": found}
                arguments.out.write_text(json.dumps(result, indent=1), "utf-8")
    ratios = [r["ratio"] for row in found for r in (row["wall"], row["device_by_events"]) if r]
    worst = max(abs(each - 1) for each in ratios)
    print(f"furthest from 1: {worst:.3f} (allowed {TOLERANCE})")
    return 0 if worst <= TOLERANCE and len(missing) in (0, len(ON_A_CARD)) else 1


def compared(
    runner: ProcessRunner, run: RunSpec, model: Path, samples: Samples, folder: Path, limit: float
) -> dict[str, Any]:
    """Return medians and ratios of a combination, after as many launches as there is time for."""
    settings = MeasurementSettings(warmup_seconds=WARMUP_S, min_seconds=TIMED_S, timeout_s=120.0)
    launches: list[Launch] = []
    longest = 0.0
    with (
        lease(runner.device(run)) as held,
        PlainProcess(
            runner.python,
            run.execution_provider,
            model,
            samples.inputs[0],
            run.batch_size,
            runner.options(run),
            runner.cores(run),
        ) as loop,
    ):
        plain = [loop.time(WARMUP_S, TIMED_S)]
        while len(launches) < LEAST_LAUNCHES or (
            len(launches) < MOST_LAUNCHES and time.monotonic() + longest < limit
        ):
            began = time.monotonic()
            launch = runner.launch(model, run, samples, folder, settings, held)
            if isinstance(launch, Failure):
                sys.exit(f"{run.target}: {launch.message}\n{launch.log}")
            launches.append(launch)
            plain.append(loop.time(WARMUP_S, TIMED_S))
            longest = max(longest, time.monotonic() - began)

    def around(key: str) -> list[float]:
        """Return the plain loop's mean before and after each launch."""
        pairs = itertools.pairwise(turn[key] for turn in plain)
        return [math.sqrt(before * after) for before, after in pairs]

    ours = [launch.percentile(50) for launch in launches]
    on_device = [ms for launch in launches if (ms := device_p50_ms(launch)) is not None]
    has_events = plain[0]["events_p50_ms"] is not None
    by_events = by_clock = None
    if has_events and len(on_device) == len(launches):
        by_events = ratio(on_device, around("events_p50_ms"))
        by_clock = ratio(on_device, around("resident_p50_ms"))
    return {
        "target": run.target,
        "batch_size": run.batch_size,
        "launches": len(launches),
        "wall": ratio(ours, around("p50_ms")),
        "events_ms": float(np.median(around("events_p50_ms"))) if has_events else None,
        "device_by_events": by_events,
        "device_by_clock": by_clock,
    }


def device_p50_ms(launch: Launch) -> float | None:
    """Return the median time of a call whose data stay on the card, if the launch has it."""
    found: float | None = getattr(launch, "device_latency_ms", None)
    return found


def ratio(ours: Sequence[float], plain: Sequence[float]) -> dict[str, Any]:
    """Return the runner's time ÷ the loop's, with a t interval over launches of its logarithm."""
    found = Statistic.geometric([a / b for a, b in zip(ours, plain, strict=True)])
    return {
        "runner_ms": float(np.median(ours)),
        "loop_ms": float(np.median(plain)),
        "ratio": found.value,
        "low": found.low,
        "high": found.high,
    }


def words(row: dict[str, Any]) -> str:
    """Return a row as a line."""
    wall = row["wall"]
    line = (
        f"{row['target']:<36} batch {row['batch_size']:>2}: runner {wall['runner_ms']:.4f} ms, "
        f"loop {wall['loop_ms']:.4f} ms, ratio {wall['ratio']:.3f} "
        f"[{wall['low'] or math.nan:.3f}, {wall['high'] or math.nan:.3f}], "
        f"{row['launches']} launches"
    )
    for name in ("device_by_events", "device_by_clock"):
        if found := row[name]:
            line += f"; {name.replace('_', ' ')}: {found['runner_ms']:.4f} ÷ {found['loop_ms']:.4f}"
            line += f" ms = {found['ratio']:.3f}"
    return line


if __name__ == "__main__":
    sys.exit(main())
