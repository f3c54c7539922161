"""Benchmark: does every pick keep its budget, and is it the best that does?

    python experiments/benchmarks/promises.py STUDY.yaml [--budgets 20]

Sweeps latency budgets over the range of a confirmed study, picks under each as `paretune pick`
does, and runs the picked bundle in plain loops that know nothing of Paretune (see
picked_latency.py), in fresh processes. A promise is kept if the median of their p95 is within the
budget. Beside it, the pick is compared with a brute-force search of the published values. ONNX
Runtime's points only. Let nothing else run.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Collection
from pathlib import Path

import numpy as np

from search.api import pick
from search.history import History
from search.study import load_history
from spaces import StudyError

LAUNCHES = 5
LEAST_SHARE = 0.95
LATENCY = "latency_p95_ms"


def main() -> int:
    """Print a line a budget; return 1 if too many promises are broken or a pick is not the best."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("study", type=Path)
    parser.add_argument("--budgets", type=int, default=20)
    arguments = parser.parse_args()
    history = load_history(arguments.study)
    if not history.published:
        sys.exit("the study was not confirmed: run `paretune confirm` first")
    ends = [point.measurement.statistics[LATENCY].ends[1] for point in history.published]
    kept = right = 0
    print(f"{'budget ms':>10} {'trial':>6} {'published':>10} {'plain p95':>10}  accuracy, best")
    for budget in np.geomspace(min(ends), max(ends) * 1.05, arguments.budgets):
        with tempfile.TemporaryDirectory() as name:
            try:
                picked = pick(arguments.study, max_latency_ms=float(budget), out=name)
            except StudyError as error:
                print(f"{budget:>10.5f} nothing picked: {error}")
                continue
            plain_ms = plain_p95_ms(Path(name))
        refused = [int(reason.split()[1].rstrip(":")) for reason in picked.broken]
        quality = picked.record.metrics[history.quality_metric]
        best = most_accurate(history, float(budget), refused)
        kept += plain_ms <= budget
        right += quality == best
        published = picked.record.metrics[LATENCY]
        print(
            f"{budget:>10.5f} {picked.record.number:>6} {published:>10.5f} {plain_ms:>10.5f}  "
            f"{quality:.4f}, {best:.4f}" + ("" if plain_ms <= budget else "   BROKEN"),
            flush=True,
        )
        for reason in picked.broken:
            print(f"{'':>10} not taken: {reason}")
    count = arguments.budgets
    print(f"{kept} of {count} promises kept; {right} of {count} picks are the most accurate")
    return 0 if kept >= LEAST_SHARE * count and right == count else 1


def plain_p95_ms(folder: Path) -> float:
    """Return the median p95 of a bundle over plain loops in fresh processes."""
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    inputs, outputs = np.load(folder / "inputs.npy"), np.load(folder / "outputs.npy")
    data = folder / "split.npz"
    np.savez(data, inputs=inputs, targets=outputs.argmax(axis=1))
    script = Path(__file__).with_name("picked_latency.py")
    command = [manifest["run"]["python"], script, folder, "--once", data]
    found = [
        json.loads(subprocess.run(list(map(str, command)), check=True, capture_output=True).stdout)[
            "p95_ms"
        ]
        for _ in range(LAUNCHES)
    ]
    return statistics.median(found)


def most_accurate(history: History, budget_ms: float, refused: Collection[int]) -> float:
    """Return the best quality among the confirmed points whose interval is within the budget.

    Left out are those that broke the budget when they were measured once more, and compressed
    models that are slower than the reference was at their batch size.
    """
    quality, best = history.quality_metric, 0.0
    candidates = {record.number: record.candidate for record in history.records}
    for point in history.confirmed:
        candidate = candidates[point.number]
        reference_ms = [
            record.metrics[LATENCY]
            for record in history.measured
            if record.candidate.run.batch_size == candidate.run.batch_size
            and not record.candidate.build.is_compressed
        ]
        is_slower = candidate.build.is_compressed and any(
            point.metrics[LATENCY] > other for other in reference_ms
        )
        statistic = point.measurement.statistics[LATENCY]
        is_within = statistic.ends[1] <= budget_ms
        if is_within and not is_slower and point.number not in refused:
            best = max(best, point.metrics[quality])
    return best


if __name__ == "__main__":
    sys.exit(main())
