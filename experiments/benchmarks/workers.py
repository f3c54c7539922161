"""Benchmark: do two build workers shorten a study without changing its latencies?

    python experiments/benchmarks/workers.py experiments/tones/study.yaml

Builds and measures the same candidates from an empty store with one build worker and with two, and
compares wall-clock and published latencies: the reference and the three smallest students, unpruned
and half pruned, each with one run setting. Let nothing else run.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

from paretune.search.record.history import History
from paretune.search.study.open_study import load_history

METRIC = "latency_p50_ms"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("study", type=Path)
    arguments = parser.parse_args()
    found: dict[int, tuple[float, History]] = {}
    with tempfile.TemporaryDirectory() as name:
        for workers in (1, 2):
            found[workers] = run(arguments.study, Path(name) / str(workers), workers)
    for workers, (seconds, history) in found.items():
        print(f"{workers} worker(s): {seconds:6.1f} s of search, {len(history.measured)} measured")
    print(f"ratio of wall-clock: {found[2][0] / found[1][0]:.3f}")
    one, two = ({c.number: c for c in found[w][1].confirmed} for w in (1, 2))
    names = [{r.candidate.digest: r.number for r in found[w][1].measured} for w in (1, 2)]
    shared = [d for d in names[0] if d in names[1] and names[0][d] in one and names[1][d] in two]
    agree = 0
    for digest in shared:
        a = one[names[0][digest]].measurement.statistics[METRIC]
        b = two[names[1][digest]].measurement.statistics[METRIC]
        overlap = a.ends[0] <= b.ends[1] and b.ends[0] <= a.ends[1]
        agree += overlap
        label = f"trial {names[0][digest]:>3}"
        print(
            f"{label} {METRIC} {a.value:.4f} and {b.value:.4f}, ratio {b.value / a.value:.3f}"
            + ("" if overlap else "   intervals apart")
        )
    print(f"{agree} of {len(shared)} published latencies agree within their intervals")


def run(study_file: Path, folder: Path, workers: int) -> tuple[float, History]:
    """Run a study with a number of workers; return the seconds of the search and its history."""
    folder.mkdir()
    values = yaml.safe_load(study_file.read_text("utf-8"))
    values |= {
        "name": f"workers-{workers}",
        "workload": str(study_file.resolve().parent / values["workload"]),
        "output_dir": str(folder),
        "strategy": {"sampler": "exhaustive", "latency_first": "never"},
        "budget": {"trials": 1000, "build_workers": workers},
    }
    students = values["space"]["student"]
    one_way = {axis: each[:1] for axis, each in values["space"].items()}
    values.pop("rules", None)  # they speak of more than is tried here
    values["space"] = one_way | {
        "student": [students[0], *students[1:][-3:]],
        "pruning_ratio": [0.0, 0.5],
    }
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(values), "utf-8")
    subprocess.run([sys.executable, "-m", "paretune", "search", str(path)], check=True)
    history = load_history(path)
    first = min(record.started_at for record in history.records)
    return max(record.finished_at for record in history.records) - first, history


if __name__ == "__main__":
    main()
