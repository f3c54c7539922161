"""Benchmark: how long does it take from an empty folder to a first frontier?

    python experiments/benchmarks/first_frontier.py

It follows three ways, each in an empty folder and as documented: an ONNX file alone (docs/onnx.md),
a PyTorch model as `paretune init` writes one, and a complete workload with students and a recipe
(docs/pytorch.md). Files on the pages are written as shown. It prints the seconds of each step and
the size of the published frontier.
"""

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from paretune.search.study.open_study import load_history

DOCS = Path(__file__).parents[2] / "docs"
FILE = re.compile(r'^```python title="(?P<name>\S+)"\n(?P<text>.*?)^```$', re.M | re.S)
STUDENTS = "s/^  student: .*/  student: [reference, half-width, half, quarter]/"
SAVE = "save the files of "
WAYS = {
    "an ONNX file": (
        "digits-study/study.yaml",
        f"{SAVE}onnx.md",
        "python make_model.py",  # whoever comes has the file
        "paretune search --onnx digits.onnx --data samples.npz --labels digit --trials 16",
    ),
    "a PyTorch model": (
        "mine/study.yaml",
        "paretune init mine",
        "paretune search mine/study.yaml --trials 12",
    ),
    "a whole workload": (
        "mine/study.yaml",
        "paretune init mine",
        f"{SAVE}pytorch.md",
        f"sed -i '{STUDENTS}' mine/study.yaml",
        "paretune search mine/study.yaml --trials 12",
    ),
}


def main() -> int:
    """Print the steps of each way with their times; return 1 if one gives no frontier."""
    sizes = []
    for way, (study, *steps) in WAYS.items():
        print(f"{way}:", flush=True)
        with tempfile.TemporaryDirectory() as name:
            seconds = [step_seconds(step, Path(name)) for step in steps]
            history = load_history(Path(name) / study)
            sizes.append(len(history.published))
            print(
                f"  {sum(seconds):6.1f} s  {len(steps)} steps, {len(history.records)} trials: a "
                f"frontier of {sizes[-1]} points",
                flush=True,
            )
    return 0 if all(sizes) else 1


def step_seconds(step: str, folder: Path) -> float:
    """Do a step; print and return its seconds."""
    began = time.perf_counter()
    if step.startswith(SAVE):
        write_files(step.removeprefix(SAVE), folder)
    else:
        scripts = str(Path(sys.executable).parent)
        environment = os.environ | {"PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}"}
        done = subprocess.run(
            step, shell=True, cwd=folder, env=environment, capture_output=True, text=True
        )
        if done.returncode:
            sys.exit(done.stdout + done.stderr)
    seconds = time.perf_counter() - began
    print(f"  {seconds:6.1f} s  {step}", flush=True)
    return seconds


def write_files(page: str, folder: Path) -> None:
    """Write the files that a page tells people to save, over existing ones."""
    for found in FILE.finditer((DOCS / page).read_text("utf-8")):
        file = folder / found["name"]
        file.parent.mkdir(exist_ok=True)
        file.write_text(found["text"], "utf-8")


if __name__ == "__main__":
    sys.exit(main())
