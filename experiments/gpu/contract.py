"""Runs the tests that need a card side by side, each on cores of its own.

    python contract.py OUT_FOLDER [--seconds 110] [--alone]

A launch pins itself to the last cores that it may use: with the same cores, tests would wait for
each other. A suite of many slow launches is cut into parts. Writes a log and a JUnit file per part,
and the exit codes of all. With --alone it runs what must be alone on the card instead.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
# Name, file, tests, parts.
SUITES = (
    ("onnxruntime-cuda", "test_runner_contract.py", "CUDAExecutionProvider", 1),
    ("eager-cuda", "test_runner_contract.py", "eager-cuda and not graphs", 2),
    ("compile-cuda", "test_runner_contract.py", "compile-cuda and not graphs", 3),
    ("test_cuda", "test_cuda.py", "", 1),
    ("test_cuda_pytorch", "test_cuda_pytorch.py", "", 2),
)
ALONE = (("test_card", "test_card.py", "", 1),)


def main() -> int:
    """Run all suites; return 1 if a test failed or the time was not enough."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--seconds", type=float, default=110.0)
    parser.add_argument("--alone", action="store_true")
    arguments = parser.parse_args()
    ends = time.monotonic() + arguments.seconds
    suites = ALONE if arguments.alone else SUITES
    parts = [(*suite, part) for suite in suites for part in range(suite[3])]
    cores = sorted(os.sched_getaffinity(0))
    running = [
        start(
            arguments.out,
            *part,
            cores if arguments.alone else [cores[-1 - place % len(cores)]],
        )
        for place, part in enumerate(parts)
    ]
    codes = {name: finish(process, ends) for name, process in running}
    kept = arguments.out / "contract.json"
    before = json.loads(kept.read_text("utf-8")) if kept.is_file() else {}
    kept.write_text(json.dumps(before | codes), "utf-8")
    for name, code in codes.items():
        last = (arguments.out / f"contract-{name}.log").read_text("utf-8").strip().splitlines()
        print(f"{name}: exit code {code}: {last[-1][:150] if last else 'no output'}")
    return int(any(codes.values()))


def start(
    out: Path, name: str, file: str, chosen: str, parts: int, part: int, cores: Sequence[int]
) -> tuple[str, subprocess.Popen[bytes]]:
    """Start one part of a suite on some cores."""
    full = f"{name}-{part + 1}" if parts > 1 else name
    command = ["taskset", "-c", ",".join(map(str, cores)), sys.executable, "-m", "pytest"]
    command += ["-q", "-rfEs", "--tb=short", "--show-capture=no", "-m", "", "-k", chosen]
    command += ["-p", "no:randomly", "-p", "no:cacheprovider", "-p", "part_of_suite"]
    command += [f"--junitxml={out}/contract-{full}.xml", str(ROOT / "tests" / file)]
    leases = tempfile.mkdtemp()  # tests side by side disturb each other's times, which none asserts
    environment = {"PARETUNE_LEASES": leases, "PART": f"{part}/{parts}"}
    environment["PYTHONPATH"] = f"{HERE}:{os.environ.get('PYTHONPATH', ROOT)}"
    with (out / f"contract-{full}.log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=ROOT, env=os.environ | environment, stdout=log, stderr=log
        )
    return full, process


def finish(process: subprocess.Popen[bytes], ends: float) -> int:
    """Wait, and interrupt a suite that is late, so that it still says what failed."""
    try:
        return process.wait(max(ends - time.monotonic(), 0.1))
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
    try:
        return process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


if __name__ == "__main__":
    sys.exit(main())
