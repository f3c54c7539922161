"""Is what Paretune finds alone as good as an engineer's afternoon? Both, on the same models.

    python experiments/benchmarks/side_by_side.py FOLDER [NAME ...] [--trials 20] [--hours 0.25]

FOLDER has a pair of files for each model, `NAME.onnx` and `NAME.npz`
(`experiments/by_hand/models.py` writes four; folders of `experiments/zoo` write others), and, where
a model needs more, `NAME.args` with `--constant NAME=VALUE` or `--batch-axis NAME=AXIS`. For each
model `by_hand.py` runs, then a search of one thread and batches of one sample. Printed per model:
the best by hand at a fidelity of .99 and .999 (the cosine of the outputs), the best point that
Paretune published at the same, their ratio, and the trial by which the search was within 10 % of
its best. Let nothing else run.
"""

import argparse
import math
import re
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

from paretune import onnx_study
from paretune.search.record.history import History
from paretune.search.study.open_study import load_history

LEVELS = (0.99, 0.999)
BEST = re.compile(r"^(0\.\d+)\s+([\d.]+)×  (.+)$", re.M)
HAND = Path(__file__).with_name("by_hand.py")
LATENCY = "latency_p50_ms"


def main() -> int:
    """Print a row per model and level, then the geometric means."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--hours", type=float, default=0.25)
    options = parser.parse_args()
    names = options.names or sorted(file.stem for file in options.folder.glob("*.onnx"))
    ratios: dict[float, list[float]] = {level: [] for level in LEVELS}
    title = f"{'model':<12} {'at':<6} {'by hand':>8} {'found':>7} {'ratio':>6} {'near by':>8}"
    print(f"{title}  best by hand · best found", flush=True)
    for name in names:
        model = options.folder / f"{name}.onnx"
        more = model.with_suffix(".args")
        extra = shlex.split(more.read_text("utf-8")) if more.is_file() else []
        with tempfile.TemporaryDirectory() as scratch:
            hand = by_hand(model, extra)
            start = time.monotonic()
            history = search(model, extra, Path(scratch), options)
            seconds = time.monotonic() - start
        for level in LEVELS:
            speed, what = found(history, level)
            ratios[level].append(speed / hand[level][0])
            print(
                f"{name:<12} {level:<6} {hand[level][0]:7.2f}× {speed:6.2f}× "
                f"{ratios[level][-1]:6.2f} {near(history, level):>8}  {hand[level][1]} · {what}",
                flush=True,
            )
        print(f"{'':<12} {len(history.records)} trials, {seconds / 60:.1f} min", flush=True)
    for level, each in ratios.items():
        mean = math.exp(sum(map(math.log, each)) / len(each))
        print(f"geometric mean at {level}: {mean:.2f} (lowest {min(each):.2f})")
    return 0


def by_hand(model: Path, extra: list[str]) -> dict[float, tuple[float, str]]:
    """Return the speed-up and the recipe of the best by hand at each level."""
    command = [sys.executable, HAND, model, model.with_suffix(".npz"), *extra]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    best = {float(level): (float(speed), name) for level, speed, name in BEST.findall(done.stdout)}
    return {level: best[level] for level in LEVELS}


def search(model: Path, extra: list[str], folder: Path, options: argparse.Namespace) -> History:
    """Run a search of one thread and batches of one sample; return what it recorded."""
    study = folder / "study" / "study.yaml"
    reader = argparse.ArgumentParser()
    reader.add_argument("--constant", type=pair, action="append", default=[])
    reader.add_argument("--batch-axis", type=pair, action="append", default=[])
    known = reader.parse_args(extra)
    onnx_study(
        model,
        model.with_suffix(".npz"),
        constants=dict(known.constant),
        batch_axes=dict(known.batch_axis),
        folder=study.parent,
    )
    values = yaml.safe_load(study.read_text("utf-8"))
    values["space"] |= {"intra_op_threads": [1], "batch_size": [1]}
    study.write_text(yaml.safe_dump(values), "utf-8")
    budget = ["--trials", str(options.trials), "--hours", str(options.hours)]
    command = [sys.executable, "-m", "paretune", "search", study, "--batch-size", "1", *budget]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{model}\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    return load_history(study)


def pair(text: str) -> tuple[str, int]:
    """Return a name and the whole number after it."""
    name, _, value = text.partition("=")
    return name, int(value)


def found(history: History, level: float) -> tuple[float, str]:
    """Return the speed-up of the fastest published point at a level, and what it is."""
    shown = history.as_published()
    records = {record.number: record for record in shown.measured}
    base = records[0].metrics[LATENCY]
    good = {
        number: base / records[number].metrics[LATENCY]
        for number in {0, *(point.number for point in history.confirmed)}
        if records[number].metrics[history.quality_metric] >= level
    }
    best = max(good, key=good.__getitem__)
    candidate = history.records[best].candidate
    return good[best], f"{candidate.build.scheme} on {candidate.run.target}"


def near(history: History, level: float) -> int:
    """Return the number of the first trial within 10 % of the search's best at a level."""
    times = {
        record.number: record.metrics[LATENCY]
        for record in history.measured
        if record.metrics[history.quality_metric] >= level
    }
    least = min(times.values())
    return 1 + min(number for number, value in times.items() if value <= 1.1 * least)


if __name__ == "__main__":
    sys.exit(main())
