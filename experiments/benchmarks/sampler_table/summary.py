"""The table of samplers: print it, and draw it.

    python experiments/benchmarks/sampler_table/summary.py [results/table.jsonl ...]
        [--problems development | untouched | NAME ...] [--against ours] [--picture FILE.png]

For each number of trials it prints, per sampler, the median of each measure with its quartiles over
problems and seeds, and a comparison with ours study by study (the same problem, seed and first
points): how often ours was better and worse in the hypervolume, and the p-value of Wilcoxon's
signed-rank test on the mean difference per problem, adjusted by Holm for the number of samplers.
Problems that not every sampler has are left out, and so are seeds.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np
from indicators import NAMES, indicators
from run import RESULTS, read
from scipy.stats import wilcoxon
from suite import DEVELOPMENT, UNTOUCHED, problem
from table_problem import Array, logarithms

TRIALS = (25, 50, 100, 200)
TIE = 1e-9
"""Differences of the logarithm up to this are a tie."""

Key = tuple[str, int]
Runs = dict[str, dict[Key, Array]]
"""By sampler, then by problem and seed: losses without noise, (trials, objectives)."""


def runs(paths: list[Path], problems: list[str]) -> Runs:
    """Return the studies that every sampler has, without those of other problems."""
    names: list[str] = []
    for each in problems:
        names += {"development": DEVELOPMENT, "untouched": UNTOUCHED}.get(each, (each,))
    found: defaultdict[str, dict[Key, Array]] = defaultdict(dict)
    for path in paths:
        for line in read(path):
            if line["problem"] in names:
                is_ratio = problem(line["problem"], line["seed"]).is_ratio
                key = (line["problem"], line["seed"])
                found[line["opponent"]][key] = logarithms(np.array(line["truths"]), is_ratio)
    common = set.intersection(*(set(each) for each in found.values())) if found else set()
    return {who: {key: each[key] for key in sorted(common)} for who, each in found.items()}


def measured(found: Runs, trials: int) -> dict[str, Array]:
    """Return the measures of each sampler after some trials: (studies, measures)."""
    keys = [key for key in next(iter(found.values())) if len_of(found, key) >= trials]
    return {
        who: np.array(
            [indicators(each[key][:trials], problem(*key).front) for key in keys]
        ).reshape(len(keys), len(NAMES))
        for who, each in found.items()
    }


def len_of(found: Runs, key: Key) -> int:
    """Return the trials that every sampler has of a study."""
    return min(len(each[key]) for each in found.values())


def holm(chances: list[float]) -> list[float]:
    """Return p-values adjusted for their number (Holm, 1979)."""
    adjusted, least = [0.0] * len(chances), 0.0
    for rank, at in enumerate(np.argsort(chances)):
        least = max(least, min(1.0, (len(chances) - rank) * chances[at]))
        adjusted[at] = least
    return adjusted


def chance_of_no_difference(differences: Array, names: list[str]) -> float:
    """Return the p-value of the signed-rank test on the mean difference per problem.

    Seeds of one problem are no independent evidence about samplers in general, so each problem
    counts once.
    """
    means = np.array(
        [differences[[n == name for n in names]].mean() for name in dict.fromkeys(names)]
    )
    return float(wilcoxon(means).pvalue) if np.any(means) else 1.0


def show(found: Runs, trials: int, against: str) -> None:
    """Print the table after some trials."""
    keys = [key for key in found[against] if len_of(found, key) >= trials]
    if not keys:
        return
    each, names = measured(found, trials), [name for name, _ in keys]
    others = [who for who in each if who != against]
    chances = holm(
        [chance_of_no_difference(each[who][:, 0] - each[against][:, 0], names) for who in others]
    )
    print(
        f"\nafter {trials} trials: {len(set(names))} problems, {len(keys)} studies per sampler\n"
        f"{'':<22}" + "".join(f"{name:>32}" for name in NAMES) + "   ours better : worse   p (Holm)"
    )
    order = sorted(each, key=lambda who: float(np.median(each[who][:, 0])))
    for who in order:
        cells = []
        for column in each[who].T:
            low, middle, high = np.percentile(column, [25, 50, 75])
            cells.append(f"{middle:.3f} ({low:.3f} … {high:.3f})")
        line = f"{who:<22}" + "".join(f"{cell:>32}" for cell in cells)
        if who != against:
            more = each[who][:, 0] - each[against][:, 0]
            wins, losses = int((more > TIE).sum()), int((more < -TIE).sum())
            line += f"   {wins:>11} : {losses:<5}   {chances[others.index(who)]:8.2g}"
        print(line)


def by_problem(found: Runs, trials: int) -> None:
    """Print the median logarithmic difference per problem: where a sampler wins and loses."""
    keys = [key for key in next(iter(found.values())) if len_of(found, key) >= trials]
    if not keys:
        return
    each, names = measured(found, trials), np.array([name for name, _ in keys])
    print(f"\n{NAMES[0]} after {trials} trials, median over seeds, by problem")
    print(f"{'':<36}" + "".join(f"{who:>{max(len(who) + 2, 9)}}" for who in each))
    for name in dict.fromkeys(names.tolist()):
        row = [float(np.median(values[names == name, 0])) for values in each.values()]
        print(
            f"{name:<36}"
            + "".join(f"{v:>{max(len(w) + 2, 9)}.3f}" for w, v in zip(each, row, strict=True))
        )


def draw(found: Runs, path: Path) -> None:
    """Draw the logarithmic hypervolume difference by trials: medians, and quartiles as bands."""
    import matplotlib.pyplot as plt

    most = min(len_of(found, key) for key in next(iter(found.values())))
    places = list(range(10, most + 1, 5))
    curves = {n: measured(found, n) for n in places}
    figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
    for who in found:
        columns = [np.percentile(curves[n][who][:, 0], [25, 50, 75]) for n in places]
        low, middle, high = np.array(columns).T
        (line,) = axes.plot(places, middle, label=who)
        axes.fill_between(places, low, high, color=line.get_color(), alpha=0.12)
    axes.set_xlabel("trials")
    axes.set_ylabel(f"{NAMES[0]} (lower is better)")
    axes.legend()
    figure.savefig(path, dpi=150)
    print(f"\ndrawn: {path}")


def main() -> None:
    """Print the tables and draw the picture."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("results", type=Path, nargs="*", default=[RESULTS])
    parser.add_argument("--problems", nargs="+", default=["untouched"])
    parser.add_argument("--against", default="ours")
    parser.add_argument("--picture", type=Path)
    asked = parser.parse_args()
    found = runs(asked.results, asked.problems)
    if asked.against not in found:
        parser.error(f"no study of {asked.against!r} on these problems in {asked.results}")
    if not next(iter(found.values())):
        parser.error("no study that every sampler has: run the missing ones, or name fewer files")
    for trials in TRIALS:
        show(found, trials, asked.against)
    reached = [n for n in TRIALS if any(len_of(found, key) >= n for key in found[asked.against])]
    if reached:
        by_problem(found, reached[-1])
    if asked.picture:
        draw(found, asked.picture)


if __name__ == "__main__":
    main()
