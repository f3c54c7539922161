"""Benchmark: is a wish, stated in the evening, worth half of the night?

    python experiments/benchmarks/evening.py [--seeds 5]
    python experiments/benchmarks/evening.py --real STUDY --max-latency-ms MS --max-accuracy-drop D
        [--out evening]

Two searches of the same problem with the same seed: one knows the latency budget and the maximum
drop of quality of the later pick and has 30 trials, the other does not and has 60. For each it
prints the quality and the latency of the best pick (the most accurate point that keeps both limits;
among equals, the fastest), the pick after 30 trials without the wish, and the true best.

The simulated spaces are one with students (problem.py) and one of an ONNX file (file_problem.py),
with one problem per seed. The budget is 1.5 times the latency of the fastest candidate within the
drop: it can be kept, but not by the first candidate at hand. `--real` runs both searches of a
study, the one with the wish first; they share the artifact store, and the confirmed points are
compared.
"""

import argparse
import statistics
import subprocess
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import file_problem
import problem
import study_problem
import yaml

from paretune.search.propose.frontier_strategy import FrontierStrategy
from paretune.search.record.objective import Constraint
from paretune.search.record.wish import ANYTHING, Wish
from paretune.search.study.open_study import load_history
from paretune.spaces import SearchSpace

TRIALS = 30
DROPS = {"students": 0.03, "file": 0.005}
LATENCY = "latency_p95_ms"
Metrics = Mapping[str, float]
Pick = tuple[float, float]
"""Quality and latency in milliseconds."""


def best_pick(found: Sequence[Metrics], limits: Sequence[Constraint], quality: str) -> Pick | None:
    """Return the most accurate point that keeps all limits; among equals, the fastest."""
    kept = [m for m in found if all(c.violation(m[c.metric]) <= 0 for c in limits)]
    picks = [(m[quality], m[LATENCY]) for m in kept]
    return max(picks, key=lambda pick: (pick[0], -pick[1]), default=None)


def search(
    one: problem.Problem | file_problem.FileProblem, seed: int, trials: int, wish: Wish
) -> list[Metrics]:
    """Return a search's results in order; as in a real search, the students' sizes are known."""
    space, objectives, sizes = file_problem.SPACE, file_problem.OBJECTIVES, None
    if isinstance(one, problem.Problem):
        space, objectives = problem.SPACE, study_problem.OBJECTIVES
        sizes = one.epoch_seconds()
    strategy = FrontierStrategy(
        space,
        objectives,
        quality_metric=objectives[0].metric,
        seed=seed,
        sizes=sizes,
        wish=wish,
    )
    found: list[Metrics] = []
    for _ in range(trials):
        candidate = strategy.propose()
        assert candidate is not None
        found.append(one.metrics(candidate))
        strategy.observe(candidate, found[-1])
    return found


def simulate(workload: str, seeds: int) -> None:
    """Print a table of one workload, one line per seed."""
    drop = DROPS[workload]
    print(f"{workload}, a drop of {drop:g} at most")
    heads = ("with, 30", "without, 60", "without, 30", "true best")
    print(f"{'seed':>6}{'budget':>10}" + "".join(f"{head:>18}" for head in heads))
    pairs = []
    for seed in range(seeds):
        one: problem.Problem | file_problem.FileProblem
        space: SearchSpace
        if workload == "students":
            one, space, quality = problem.Problem(seed), problem.SPACE, "accuracy"
        else:
            one, space = file_problem.FileProblem(seed), file_problem.SPACE
            quality = file_problem.QUALITY
        everyone = [one.metrics(candidate) for candidate in space.candidates()]
        base = one.metrics(space.baseline)
        within = Wish(max_quality_drop=drop).constraints(base, quality)
        fastest = min(
            m[LATENCY] for m in everyone if all(c.violation(m[c.metric]) <= 0 for c in within)
        )
        wish = Wish(max_latency_ms=1.5 * fastest, max_quality_drop=drop)
        limits = wish.constraints(base, quality)
        told = search(one, seed, TRIALS, wish)
        untold = search(one, seed, 2 * TRIALS, ANYTHING)
        rows = (told, untold, untold[:TRIALS], everyone)
        picks = [best_pick(row, limits, quality) for row in rows]
        print(f"{seed:>6}{1.5 * fastest:>10.3f}" + "".join(map(_shown, picks)), flush=True)
        pairs.append((picks[0], picks[1]))
    summarize(pairs)


def real(study: Path, wish: Wish, out: Path) -> None:
    """Run both searches of a study and print what each would have picked."""
    folder, out = study.resolve().parent, out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    values = yaml.safe_load(study.read_text("utf-8"))
    picks: list[Pick | None] = []
    for name, trials in (("told", TRIALS), ("untold", 2 * TRIALS)):
        changed = {k: v for k, v in values.items() if k != "wish"} | {
            "name": f"evening-{name}",
            "workload": str(folder / values["workload"]),
            "output_dir": str(out / "results"),
            "budget": {"trials": trials},
        }
        path = out / f"{name}.yaml"
        path.write_text(yaml.safe_dump(changed), "utf-8")
        command = [sys.executable, "-m", "paretune", "search", str(path)]
        if name == "told":
            command += ["--max-latency-ms", str(wish.max_latency_ms)]
            command += ["--max-accuracy-drop", str(wish.max_quality_drop)]
        log = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
        (out / f"{name}.log").write_bytes(log)
        history = load_history(path)
        points = {point.number: point.metrics for point in history.confirmed}
        assert history.baseline is not None
        base = points.get(0, history.baseline.metrics)
        limits = wish.constraints(base, history.quality_metric)
        picks.append(best_pick(list(points.values()), limits, history.quality_metric))
        kept = sum(
            all(c.violation(r.metrics[c.metric]) <= 0 for c in limits) for r in history.measured
        )
        print(
            f"{name:<8} {len(history.records)} trials, {kept} within the wish, "
            f"{len(points)} confirmed; pick{_shown(picks[-1])}",
            flush=True,
        )
    summarize([(picks[0], picks[1])])


def summarize(pairs: Sequence[tuple[Pick | None, Pick | None]]) -> None:
    """Print how often the pick with the wish is better, the same or worse, and by how much."""
    keys = [[(-1.0, 0.0) if p is None else (p[0], -p[1]) for p in pair] for pair in pairs]
    better = sum(a > b for a, b in keys)
    worse = sum(a < b for a, b in keys)
    both = [(a, b) for a, b in pairs if a and b]
    print(
        f"the pick with the wish: {better} better, {len(pairs) - better - worse} the same, ", end=""
    )
    print(f"{worse} worse", end="")
    if both:
        gains = [a[0] - b[0] for a, b in both]
        ratios = [a[1] / b[1] for a, b in both]
        print(
            f"; quality {statistics.fmean(gains):+.4f} on average, {min(gains):+.4f} at worst; "
            f"latency {statistics.geometric_mean(ratios):.2f} ×",
            end="",
        )
    print("\n", flush=True)


def _shown(pick: Pick | None) -> str:
    if pick is None:
        return f"{'none':>18}"
    quality, latency_ms = pick
    digits = 2 if latency_ms >= 1 else 4
    return f"{quality:>9.4f}{latency_ms:>6.{digits}f} ms"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--real", type=Path, metavar="STUDY")
    parser.add_argument("--max-latency-ms", type=float)
    parser.add_argument("--max-accuracy-drop", type=float)
    parser.add_argument("--out", type=Path, default=Path("evening"))
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    if arguments.real is None:
        for workload in DROPS:
            simulate(workload, arguments.seeds)
        return
    if arguments.max_latency_ms is None or arguments.max_accuracy_drop is None:
        parser.error("--real needs --max-latency-ms and --max-accuracy-drop")
    wish = Wish(arguments.max_latency_ms, max_quality_drop=arguments.max_accuracy_drop)
    real(arguments.real, wish, arguments.out)


if __name__ == "__main__":
    main()
