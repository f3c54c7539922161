"""Does a runner's p50 agree with a plain loop that knows nothing of Paretune?

    python experiments/benchmarks/agreement.py [--rounds 60]

For fp32 and int8, batch 1 and 32, and three runners (ONNX Runtime's CPU provider, its OpenVINO
provider in an interpreter of its own, and OpenVINO itself): launches of the runner and processes
with a plain loop, on the same core, take turns in rounds of ABBA, so that drift of the machine
leaves their ratio alone. There are at least 10 rounds, and more until the 95 % interval of the
median ratio is within 1 %, or the rounds are spent. The median has an interval from order
statistics; a disturbed process, or one that the memory layout favours, is one of many and does not
shift it. Let nothing else run.
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import scipy.stats
from models import write_fp32, write_inputs, write_int8

from paretune.runners.failure import Failure
from paretune.runners.runtimes.interpreter import interpreter
from paretune.runners.runtimes.lease import lease
from paretune.runners.runtimes.onnxruntime_runner import OnnxRuntimeRunner
from paretune.runners.runtimes.openvino_runner import OpenVinoRunner
from paretune.runners.runtimes.process_runner import ProcessRunner
from paretune.runners.runtimes.runner import Samples
from paretune.runners.runtimes.settings import MeasurementSettings
from paretune.spaces import RunSpec

TOLERANCE = 0.03
PLAIN_LOOP = Path(__file__).with_name("plain_loop.py")


def main() -> int:
    """Print one line per combination; return 1 if any ratio exceeds the tolerance."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--runner", help="only this one")
    arguments = parser.parse_args()
    own = interpreter(["onnxruntime-openvino==1.24.1", "numpy==2.4.6"])
    runners: list[tuple[ProcessRunner, str]] = [
        (OnnxRuntimeRunner(), "CPUExecutionProvider"),
        (OnnxRuntimeRunner("ort-openvino", own), "OpenVINOExecutionProvider"),
        (OpenVinoRunner(), "CPU"),
    ]
    worst = 0.0
    print(
        f"{'runner':<14} {'model':<6} {'batch':>5} {'runner ms':>10} {'loop ms':>10} "
        f"{'ratio':>7} {'±':>6} rounds"
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fp32 = write_fp32(folder / "fp32.onnx")
        models = {"fp32": fp32, "int8": write_int8(fp32, folder / "int8.onnx")}
        samples = Samples([write_inputs(folder / "inputs.npy")])
        for runner, provider in runners:
            if arguments.runner not in (None, runner.name):
                continue
            for kind, model in models.items():
                for batch_size in (1, 32):
                    run = RunSpec(runner.name, provider, batch_size, 1)
                    turns: list[tuple[float, float]] = []
                    margin = math.inf
                    while len(turns) < 10 or (margin > 0.01 and len(turns) < arguments.rounds):
                        turns.append(one_round(runner, run, model, samples, folder))
                        ratios = [ours_ms / loop_ms for ours_ms, loop_ms in turns]
                        ratio = statistics.median(ratios)
                        test = scipy.stats.quantile_test(ratios, q=1, p=0.5)
                        low, high = test.confidence_interval()
                        margin = max(high - ratio, ratio - low) if len(turns) > 5 else math.inf
                    ours, plain = (statistics.median(each) for each in zip(*turns, strict=True))
                    worst = max(worst, abs(ratio - 1))
                    line = (
                        f"{runner.name:<14} {kind:<6} {batch_size:>5} {ours:>10.4f} {plain:>10.4f}"
                    )
                    print(f"{line} {ratio:>7.3f} {margin:>6.3f} {len(turns)}", flush=True)
    print(f"furthest from 1: {worst:.3f} (allowed {TOLERANCE})")
    return 0 if worst <= TOLERANCE else 1


def one_round(
    runner: ProcessRunner, run: RunSpec, model: Path, samples: Samples, folder: Path
) -> tuple[float, float]:
    """Return the p50 of launches and of plain loops, in turns (ABBA), in ms."""
    ours, plain = [], []
    with lease("cpu") as held:
        for turn in "ABBA":
            if turn == "B":
                plain.append(plain_p50_ms(runner, run, model, samples))
                continue
            launch = runner.launch(model, run, samples, folder, MeasurementSettings(), held)
            if isinstance(launch, Failure):
                raise SystemExit(launch.message)
            ours.append(launch.percentile(50))
    return math.sqrt(ours[0] * ours[1]), math.sqrt(plain[0] * plain[1])


def plain_p50_ms(runner: ProcessRunner, run: RunSpec, model: Path, samples: Samples) -> float:
    """Return the median of a plain loop in a separate process, in ms."""
    options = json.dumps(runner.options(run))
    job = [runner.runtime, run.execution_provider, options, model, samples.inputs[0]]
    command = [runner.python, PLAIN_LOOP, *job, run.batch_size, 0.2]
    done = subprocess.run(
        [str(part) for part in command],
        check=True,
        capture_output=True,
        text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, runner.cores(run)),
    )
    return statistics.median(json.loads(done.stdout.splitlines()[-1]))


if __name__ == "__main__":
    sys.exit(main())
