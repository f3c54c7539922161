"""Benchmark: a study against the naive loop, for equal wall-clock time.

    python experiments/benchmarks/race.py experiments/tones/study.yaml [--minutes 20] [--seeds 3]
        [--cache]

Both start from the trained reference, one after the other on the same machine, with the same
stages and the same measurement (see naive.py). The naive loop has all of the time, Paretune a
quarter of it (`--share`): a hypervolume never falls, so what it has then is the least it would have
at the end. It prints the hypervolume of each at eighths of the time, and when Paretune reached the
naive loop's final value. A plot is written next to the results. Finished runs are kept in `--out`,
so that an interrupted race continues. With --cache, the naive loop builds no stage twice. Let
nothing else run.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import yaml

from paretune.runners.build.builder import Builder
from paretune.runners.store.artifact_store import ArtifactStore
from paretune.runners.workload.loaded import LoadedWorkload
from paretune.search.configure.study_file import read_study_file
from paretune.search.record.hypervolume import hypervolume
from paretune.search.record.objective import default_objectives, losses, reference_point
from paretune.search.study.open_study import load_history
from paretune.spaces import BuildSpec, Quantization

Found = list[tuple[float, dict[str, float]]]
SHARES = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)


def main() -> None:
    """Run both for each seed and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("study", type=Path)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--share", type=float, default=0.25, help="of the time, for Paretune")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("race"))
    parser.add_argument("--cache", action="store_true", help="for the naive loop, too")
    arguments = parser.parse_args()
    seconds, out = arguments.minutes * 60, arguments.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    store = out / "reference"
    metric = prepare(arguments.study, store)
    runs: list[tuple[Found, Found]] = []
    for seed in range(arguments.seeds):
        # Who runs first alternates: a machine that slows down is nobody's advantage.
        found: dict[bool, Found] = {}
        for is_naive in (seed % 2 == 1, seed % 2 == 0):
            if is_naive:
                kind = "cache" if arguments.cache else "naive"
                place = out / f"{kind}-{seed}-{seconds:.0f}s.json"
                found[True] = run_naive(
                    arguments.study, store, seconds, seed, place, has_cache=arguments.cache
                )
            else:
                limit_s, place = seconds * arguments.share, out / f"paretune-{seed}"
                found[False] = run_paretune(arguments.study, store, limit_s, seed, place)
        runs.append((found[True], found[False]))
        report(runs, seconds, metric)
    plot(runs, seconds, metric, out / "race.html")


def prepare(study_file: Path, store: Path) -> str:
    """Train and export the reference into a store; return the name of the quality metric."""
    config = read_study_file(study_file)
    loaded = LoadedWorkload(config.workload, study_file.resolve().parent)
    Builder(loaded, ArtifactStore(store)).build(BuildSpec("reference", 0.0, Quantization.FP32))
    return loaded.info.quality_metric


def run_naive(
    study_file: Path, store: Path, seconds: float, seed: int, out: Path, *, has_cache: bool
) -> Found:
    """Run the naive loop; its last trial may end a little late, and then does not count."""
    if not out.is_file():
        script, part = Path(__file__).with_name("naive.py"), out.with_suffix(".part")
        command = [script, study_file, store, seconds, seed, part, *["--cache"] * has_cache]
        subprocess.run([sys.executable, *map(str, command)], check=True, capture_output=True)
        part.rename(out)
    return [(at, metrics) for at, metrics in json.loads(out.read_text("utf-8")) if at <= seconds]


def run_paretune(study_file: Path, store: Path, seconds: float, seed: int, out: Path) -> Found:
    """Run a study; return what it measured."""
    kept = out / "found.json"
    if kept.is_file():
        return [(at, metrics) for at, metrics in json.loads(kept.read_text("utf-8"))]
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(store, out / "store")
    values = yaml.safe_load(study_file.read_text("utf-8"))
    folder = study_file.resolve().parent
    values |= {
        "name": "race",
        "workload": str(folder / values["workload"]),
        "output_dir": str(out),
        "strategy": {"seed": seed},
        "confirmation": {"enabled": False},  # the naive loop has none
        "budget": {"trials": 10_000, "hours": seconds / 3600},
    }
    path = out / "study.yaml"
    path.write_text(yaml.safe_dump(values), "utf-8")
    started = time.time()
    command = [sys.executable, "-m", "paretune", "search", str(path)]
    (out / "search.log").write_bytes(
        subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    )
    measured = load_history(path).measured
    found = [(record.finished_at - started, record.metrics) for record in measured]
    kept.write_text(json.dumps(found), "utf-8")
    return found


def volumes(found: Found, base: dict[str, float], metric: str, at: list[float]) -> list[float]:
    """Return the hypervolume measured until each time (see History.hypervolume)."""
    objectives = default_objectives(metric)
    reference = reference_point(base, objectives)
    points = losses([metrics for _, metrics in found], objectives)
    times = np.array([when for when, _ in found])
    return [hypervolume(points[times <= limit], reference) for limit in at]


def report(runs: list[tuple[Found, Found]], seconds: float, metric: str) -> None:
    """Print hypervolumes over time, seed by seed, and how much sooner Paretune is there."""
    at = [share * seconds for share in SHARES]
    print(f"{'seed':>4} {'':<9} {'trials':>6} " + " ".join(f"{a:>6.0f} s" for a in at))
    sooner, better = [], []
    for seed, (naive, paretune) in enumerate(runs):
        base = paretune[0][1]
        theirs = volumes(naive, base, metric, at)
        ours = volumes(paretune, base, metric, at)
        for name, found, row in (("naive", naive, theirs), ("paretune", paretune, ours)):
            print(f"{seed:>4} {name:<9} {len(found):>6} " + " ".join(f"{v:>8.3f}" for v in row))
        times = [when for when, _ in paretune]
        reached = volumes(paretune, base, metric, times)
        there = [t for t, v in zip(times, reached, strict=True) if v >= theirs[-1]]
        sooner.append(seconds / there[0] if there else 0.0)
        better.append(ours[-1] / theirs[-1])
        gain = f"{sooner[-1]:.1f} × sooner; hypervolume at the end {better[-1]:.3f} ×"
        print(f"     what the naive loop has at its end, Paretune has {gain}")
    median = statistics.median
    print(f"median: {median(sooner):.1f} × sooner, {median(better):.3f} × at the end", flush=True)


def plot(runs: list[tuple[Found, Found]], seconds: float, metric: str, out: Path) -> None:
    """Write hypervolume over time as an interactive plot."""
    import plotly.graph_objects as go

    at = list(np.linspace(seconds / 100, seconds, 100))
    figure = go.Figure()
    for seed, pair in enumerate(runs):
        for name, found, colour in zip(("naive", "paretune"), pair, ("grey", "green"), strict=True):
            row = volumes(found, pair[1][0][1], metric, at)
            figure.add_scatter(x=at, y=row, name=f"{name}, seed {seed}", line={"color": colour})
    figure.update_layout(xaxis_title="seconds", yaxis_title="hypervolume")
    figure.write_html(out, include_plotlyjs=True)
    print(f"wrote {out}")


if __name__ == "__main__":
    main()
