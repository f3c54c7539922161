"""Benchmark: does every pick keep its promise, and is it the right one?

    python experiments/benchmarks/promises.py STUDY.yaml [--budgets 20] [--drops 20]

Sweeps latency budgets over the range of a confirmed study, and accuracy drops up to the largest
among its points, and picks under each as `paretune pick` does. Each picked file is run in plain
loops that know nothing of Paretune (see picked_latency.py), in fresh processes, on the test split.

- A budget is kept if the median p95 of the plain loops is within it.
- A drop is kept if the file's quality on the test split, judged by the workload, is below the
  baseline's (whose file is run in the same way) by no more than the limit, and the median p95 is
  within the upper end of the published interval.

In addition, the pick is compared with a brute-force search by the rules of
docs/choosing-a-budget.md. ONNX Runtime's points only. Let nothing else run.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from paretune.runners.workload.loaded import LoadedWorkload
from paretune.search.deliver.bundle import write_bundle
from paretune.search.deliver.choice import fresh_records
from paretune.search.deliver.picked import Pick
from paretune.search.deliver.reference_speed import ReferenceSpeed
from paretune.search.record.history import History
from paretune.search.study.api import pick
from paretune.search.study.open_study import OpenStudy, load_history
from paretune.search.study.parts import study_runner
from paretune.search.study.samples import confirmed_files
from paretune.spaces import StudyError

LAUNCHES = 5
LEAST_SHARE = 0.975
LATENCY = "latency_p95_ms"
ROUNDING = 1e-9


@dataclass(frozen=True)
class Plain:
    """Results of plain loops: the median p95 of their processes, the quality on the test split."""

    p95_ms: float
    quality: float


class PlainLoop:
    """Runs bundles without Paretune; the workload judges their answers on the test split."""

    def __init__(self, study: Path) -> None:
        opened = OpenStudy(study)
        loaded = LoadedWorkload(opened.config.workload, opened.paths.folder)
        if loaded.data.test.further_inputs:
            sys.exit("plain loops know one input only")
        self.workload, self.split = loaded.workload, loaded.data.test

    def run(self, folder: Path) -> Plain:
        """Time a bundle in fresh processes and compute its quality."""
        manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
        data = folder / "split.npz"
        np.savez(data, inputs=self.split.inputs, targets=np.zeros(len(self.split.inputs)))
        script = Path(__file__).with_name("picked_latency.py")
        command = [manifest["run"]["python"], script, folder, "--once", data]
        found = [
            json.loads(subprocess.run([*map(str, command)], check=True, capture_output=True).stdout)
            for _ in range(LAUNCHES)
        ]
        outputs = np.load(data.with_name("plain_outputs.npy"))
        quality = float(self.workload.quality(outputs, self.split.targets))
        return Plain(statistics.median(each["p95_ms"] for each in found), quality)


def main() -> int:
    """Print one line per wish; return 1 if too many are broken or a pick is not the best."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("study", type=Path)
    parser.add_argument("--budgets", type=int, default=20)
    parser.add_argument("--drops", type=int, default=20)
    arguments = parser.parse_args()
    history = load_history(arguments.study)
    values = {point.number: point.metrics for point in history.confirmed}
    if not history.published or 0 not in values:
        sys.exit("no published points, or no confirmed baseline: run `paretune confirm` first")
    if not all(point.resampled for point in history.confirmed):
        sys.exit("an older version confirmed the study: run `paretune confirm` again")
    loop = PlainLoop(arguments.study)
    with tempfile.TemporaryDirectory() as name:
        write_baseline(arguments.study, Path(name))
        base = loop.run(Path(name)).quality
    ends = [point.measurement.statistics[LATENCY].ends[1] for point in history.published]
    budgets = np.geomspace(min(ends), max(ends) * 1.05, arguments.budgets)
    metric = history.quality_metric
    lost = values[0][metric] - min(found[metric] for found in values.values())
    drops = np.linspace(0.0, max(lost, 0.0), arguments.drops)
    wishes: list[dict[str, float]] = [{"max_latency_ms": float(budget)} for budget in budgets]
    wishes += [{"max_quality_drop": float(drop)} for drop in drops]
    kept = right = 0
    print(
        f"{'wish':<25} {'trial':>6} {'published':>10} {'plain p95':>10} {'quality':>9} {'plain':>9}"
    )
    for wish in wishes:
        found = one(arguments.study, wish, loop, history, base)
        kept += found[0]
        right += found[1]
    print(f"{kept} of {len(wishes)} promises kept; {right} of {len(wishes)} picks are the best")
    return 0 if kept >= LEAST_SHARE * len(wishes) and right == len(wishes) else 1


def one(
    study: Path, wish: Mapping[str, float], loop: PlainLoop, history: History, base: float
) -> tuple[bool, bool]:
    """Print a line; return whether a wish was kept, and whether the best point was picked."""
    [(asked, bound)] = wish.items()
    shown = f"{asked} {bound:.5f}"
    with tempfile.TemporaryDirectory() as name:
        try:
            picked = pick(study, out=name, **dict[str, Any](wish))
        except StudyError as error:
            print(f"{shown:<25} nothing picked: {error}")
            return False, False
        plain = loop.run(Path(name))
    measurement = picked.record.measurement
    assert measurement is not None
    published, quality = measurement.statistics[LATENCY], history.quality_metric
    if asked == "max_latency_ms":
        is_kept = plain.p95_ms <= bound
    else:
        is_kept = base - plain.quality <= bound + ROUNDING and plain.p95_ms <= published.ends[1]
    best = wanted(history, wish, refused(picked))
    is_best = picked.record.number == best
    print(
        f"{shown:<25} {picked.record.number:>6} {published.ends[1]:>10.5f} {plain.p95_ms:>10.5f} "
        f"{picked.record.metrics[quality]:>9.4f} {plain.quality:>9.4f}"
        + ("" if is_kept else "   BROKEN")
        + ("" if is_best else f"   the best is trial {best}"),
        flush=True,
    )
    for reason in picked.broken:
        print(f"{'':>25} not taken: {reason}")
    return is_kept, is_best


def write_baseline(study: Path, folder: Path) -> None:
    """Write the baseline as a bundle, whether or not it would be picked."""
    opened = OpenStudy(study)
    history = opened.history()
    record = next(record for record in fresh_records(history) if record.number == 0)
    runner = study_runner(opened, record.candidate.run.runner)
    store, samples = opened.store, confirmed_files(opened)
    write_bundle(record, history, store, folder, opened.name, runner, samples=samples)


def refused(picked: Pick) -> set[int]:
    """Return the trials that broke a limit when they were measured again."""
    return {int(reason.split()[1].rstrip(":")) for reason in picked.broken}


def wanted(history: History, wish: Mapping[str, float], without: Collection[int]) -> int | None:
    """Return the trial to pick, by going through all points as docs/choosing-a-budget.md says.

    Args:
        history: The study.
        wish: One limit.
        without: Trials that broke it when they were measured again.
    """
    quality, fresh = history.quality_metric, fresh_records(history)
    reference = ReferenceSpeed(fresh, history, LATENCY)
    points = {point.number: point for point in history.confirmed}
    value = {number: point.metrics for number, point in points.items()}
    latency = {n: point.measurement.statistics[LATENCY] for n, point in points.items()}
    left = [
        record.number
        for record in fresh
        if history.is_feasible(record)
        and not reference.beats(record)
        and record.number not in without
        and (
            latency[record.number].ends[1] <= wish["max_latency_ms"]
            if "max_latency_ms" in wish
            else value[record.number][quality] >= value[0][quality] - wish["max_quality_drop"]
        )
    ]
    if not left:
        return None
    beaten = {
        one
        for one in left
        for other in left
        if value[other][quality] >= value[one][quality]
        and value[other][LATENCY] <= value[one][LATENCY]
        and value[other] != value[one]
    }
    if "max_latency_ms" in wish:
        best = min(left, key=lambda n: (-value[n][quality], value[n][LATENCY]))
        equal = [
            n
            for n in left
            if value[best][quality] - value[n][quality]
            <= 1.1003 * np.std(np.subtract(points[best].resampled, points[n].resampled), ddof=1)
        ]
        return min(set(equal) - beaten, key=lambda n: (value[n][LATENCY], -value[n][quality]))
    best = min(left, key=lambda n: (value[n][LATENCY], -value[n][quality]))
    error = {n: (latency[n].ends[1] - latency[n].ends[0]) / (2 * 1.959964 * 2**0.5) for n in left}
    equal = [
        n
        for n in left
        if value[n][LATENCY] - value[best][LATENCY] <= np.hypot(error[n], error[best])
    ]
    return min(set(equal) - beaten, key=lambda n: (-value[n][quality], value[n][LATENCY]))


if __name__ == "__main__":
    sys.exit(main())
