"""Do models and data run as people have them? One row for each folder of `experiments/zoo`.

    python experiments/benchmarks/as_they_are.py [NAME ...] [--limit 300] [--table FILE]

A folder holds `case.yaml` (the commands, and what must come of each) and what makes the files:
`make.py`, or `workload.py` with `study.yaml`. Each case runs in an empty folder, each command in a
process of its own with a limit. A row is wrong if a command ended in a Python traceback, ran into
the limit, came to another end than expected, or measured another quality of the original than the
one it has. Exit code 1 if a row is wrong.
"""

import argparse
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
ZOO = ROOT / "experiments" / "zoo"

QUALITY = re.compile(r"trial 0: .*? → [\w./ -]+? (-?[\d.]+),")
FRONTIER = re.compile(r"published frontier: (\d+) points?,")
ENDS = {"frontier": (0,), "success": (0,), "refusal": (1, 2), "either": (0, 1, 2)}
"""The exit codes that each expected end may have. One that is not 0 needs an `error:` line."""


@dataclass(frozen=True)
class Row:
    """What came of one command.

    Attributes:
        title: What the model and its data are.
        command: The command.
        outcome: What came of it, in a few words.
        seconds: Wall-clock seconds.
        fault: Why this is wrong, or empty.
    """

    title: str
    command: str
    outcome: str
    seconds: float
    fault: str


def main() -> int:
    """Run the cases; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", help="folders of experiments/zoo; all by default")
    parser.add_argument("--limit", type=float, default=300, help="seconds per command")
    parser.add_argument("--keep", type=Path, help="run in folders below this one, and keep them")
    options = parser.parse_args()
    names = options.names or sorted(path.parent.name for path in ZOO.glob("*/case.yaml"))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    wrong = 0
    for name in names:
        case = yaml.safe_load((ZOO / name / "case.yaml").read_text("utf-8"))
        missing = [each for each in case.get("needs", []) if find_spec(each) is None]
        if missing:
            print(f"{name}: left out, there is no {', '.join(missing)}", flush=True)
            continue
        with tempfile.TemporaryDirectory() as scratch:
            folder = (options.keep or Path(scratch)) / name
            for row in run_case(ZOO / name, case, folder, options.limit):
                print(text_of(name, row), flush=True)
                wrong += bool(row.fault)
    print(f"{wrong} rows are wrong" if wrong else "no row is wrong")
    return 1 if wrong else 0


def run_case(source: Path, case: dict[str, Any], folder: Path, limit_s: float) -> list[Row]:
    """Make a case's files in a new folder and run its commands there, one after the other."""
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("__pycache__"))
    shim = folder / ".bin" / "paretune"
    shim.parent.mkdir()
    shim.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m paretune "$@"\n', "utf-8")
    shim.chmod(0o755)
    rows = []
    if (folder / "make.py").is_file():
        make = shlex.join([sys.executable, "make.py", str(ROOT / "experiments")])
        made = run_command(make, folder, limit_s)
        if made[0] != 0:
            last = (made[1].strip().splitlines() or [""])[-1]
            return [Row(case["title"], "python make.py", last, made[2], "make.py failed")]
    for command in case["commands"]:
        code, output, seconds = run_command(command["run"], folder, limit_s)
        outcome, fault = judged(command, code, output)
        title = command.get("title", case["title"])
        rows.append(Row(title, command["run"], outcome, seconds, fault))
    return rows


def run_command(command: str, folder: Path, limit_s: float) -> tuple[int | None, str, float]:
    """Run a command line; return its exit code (`None` past the limit), output and seconds."""
    path = f"{folder / '.bin'}{os.pathsep}{os.environ.get('PATH', '')}"
    environment = {**os.environ, "PATH": path, "COLUMNS": "200"}
    start = time.monotonic()
    number = len(list(folder.glob("output-*.txt"))) + 1
    with (folder / f"output-{number}.txt").open("w+b") as output:
        process = subprocess.Popen(
            ["bash", "-c", command],
            cwd=folder,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code: int | None = process.wait(limit_s)
        except subprocess.TimeoutExpired:
            code = None
        finally:  # also if this process is ended
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        output.seek(0)
        text = output.read().decode("utf-8", "replace").replace(f"{folder}/", "")
    return code, text, time.monotonic() - start


def judged(command: dict[str, Any], code: int | None, output: str) -> tuple[str, str]:
    """Return what came of a command in a few words, and what is wrong with it (or nothing)."""
    error = re.search(r"^error: (.*(?:(?<=:)\n.*)?)", output, re.MULTILINE)
    frontier = FRONTIER.search(output)
    quality = QUALITY.search(output)
    failed = re.search(r"; (\d+) failed", output)
    if code is None:
        return "ran into the limit", "no end"
    if error:
        outcome = f"refused: {' '.join(error[1].split())}"
    elif frontier:
        outcome = f"{frontier[1]} published, {failed[1] if failed else 0} trials failed"
    else:
        outcome = (output.strip().splitlines() or ["nothing was printed"])[-1]
    if quality:
        outcome += f", original {quality[1]}"
    if "Traceback (most recent call last)" in output:
        return outcome, "a Python traceback"
    if code not in ENDS[command["expect"]]:
        return outcome, f"exit code {code}, expected {command['expect']}"
    if code and not error:
        return outcome, "a refusal without a reason"
    if code == 0 and command["expect"] == "frontier" and not frontier:
        return outcome, "no published frontier"
    if "quality" in command and code == 0:
        least, most = command["quality"]
        if quality is None or not least - 5e-4 <= float(quality[1]) <= most + 5e-4:
            return outcome, f"the original's quality is {least} to {most}"
    return outcome, ""


def text_of(name: str, row: Row) -> str:
    """Return a row as three lines of text."""
    mark = f"WRONG: {row.fault}: " if row.fault else ""
    return (
        f"{row.seconds:5.0f} s  {name}: {row.title}\n"
        f"         $ {row.command}\n"
        f"         {mark}{row.outcome}"
    )


if __name__ == "__main__":
    sys.exit(main())
