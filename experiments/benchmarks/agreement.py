"""Does a runner's p50 agree with a plain loop that knows nothing of Paretune?

    python experiments/benchmarks/agreement.py [--rounds 15]

For fp32 and int8, batch 1 and 32, and three runners (ONNX Runtime's CPU provider, its OpenVINO
provider in an interpreter of its own, and OpenVINO itself): launches of the runner and processes
with a plain loop, on the same core, take turns; printed are their medians, and the median of the
rounds' ratios, which drift of the machine leaves alone. Let nothing else run.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from models import write_fp32, write_inputs, write_int8

from runners.failure import Failure
from runners.interpreter import interpreter
from runners.lease import lease
from runners.onnxruntime_runner import OnnxRuntimeRunner
from runners.openvino_runner import OpenVinoRunner
from runners.process_runner import ProcessRunner
from runners.runner import Samples
from runners.settings import CAREFUL
from spaces import RunSpec

TOLERANCE = 0.03
PLAIN_LOOP = Path(__file__).with_name("plain_loop.py")


def main() -> int:
    """Print a line a combination; return 1 if any ratio is further from 1 than the tolerance."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
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
        f"{'runner':<14} {'model':<6} {'batch':>5} {'runner ms':>10} {'loop ms':>10} {'ratio':>7}"
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
                    turns = [
                        one_round(runner, run, model, samples, folder)
                        for _ in range(arguments.rounds)
                    ]
                    ours, plain = (statistics.median(each) for each in zip(*turns, strict=True))
                    ratio = statistics.median(ours_ms / loop_ms for ours_ms, loop_ms in turns)
                    worst = max(worst, abs(ratio - 1))
                    line = (
                        f"{runner.name:<14} {kind:<6} {batch_size:>5} {ours:>10.4f} {plain:>10.4f}"
                    )
                    print(f"{line} {ratio:>7.3f}", flush=True)
    print(f"furthest from 1: {worst:.3f} (allowed {TOLERANCE})")
    return 0 if worst <= TOLERANCE else 1


def one_round(
    runner: ProcessRunner, run: RunSpec, model: Path, samples: Samples, folder: Path
) -> tuple[float, float]:
    """Return the p50 of a launch and of a plain loop, one right after the other, in ms."""
    with lease("cpu") as held:
        launch = runner.launch(model, run, samples, folder, CAREFUL, held)
        if isinstance(launch, Failure):
            raise SystemExit(launch.message)
        options = json.dumps(runner.options(run))
        job = [runner.runtime, run.execution_provider, options, model, samples.inputs[0]]
        command = [runner.python, PLAIN_LOOP, *job, run.batch_size, 0.5]
        done = subprocess.run(
            [str(part) for part in command],
            check=True,
            capture_output=True,
            text=True,
            preexec_fn=lambda: os.sched_setaffinity(0, runner.cores(run)),
        )
    return launch.percentile(50), statistics.median(json.loads(done.stdout.splitlines()[-1]))


if __name__ == "__main__":
    sys.exit(main())
