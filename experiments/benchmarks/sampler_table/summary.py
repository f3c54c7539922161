"""The table of samplers: print it, and draw it.

    python experiments/benchmarks/sampler_table/summary.py [results/table.jsonl ...]
        [--problems development | untouched | NAME ...] [--against ours] [--picture FILE.png]

For each number of trials it prints, per sampler, the median of each measure with its quartiles over
problems and seeds, and a comparison with ours study by study (the same problem, seed and first
points): how often ours was better and worse in the hypervolume, and the p-value of Wilcoxon's
signed-rank test on the mean difference per problem, adjusted by Holm for the number of samplers.
Then it prints the same after equal simulated seconds, where a problem has them: for each problem,
the time of so many random trials, in the median over seeds. A study that has no more trials by then
counts with what it has.
Problems that not every sampler has are left out, and so are seeds.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from indicators import NAMES, indicators
from run import RESULTS, read
from scipy.stats import wilcoxon
from suite import DEVELOPMENT, UNTOUCHED, problem
from table_problem import Array, logarithms

TRIALS = (25, 50, 100, 200)
CLOCK = "random"
"""The sampler whose trials say how many simulated seconds are allowed."""

TIE = 1e-9
"""Differences of the logarithm up to this are a tie."""

Key = tuple[str, int]
"""A problem and a seed."""


@dataclass(frozen=True)
class Course:
    """What a study had found by when.

    Attributes:
        losses: Of each trial, without noise: (trials, objectives).
        ends: The simulated seconds at which each trial ended: (trials,), or none if unknown.
    """

    losses: Array
    ends: Array


Courses = dict[str, dict[Key, Course]]
"""By sampler, then by problem and seed."""

Count = Callable[[Key, Course], int]
"""How many trials of a study count."""


def courses(paths: list[Path], problems: list[str]) -> Courses:
    """Return the studies that every sampler has, without those of other problems."""
    names: list[str] = []
    for each in problems:
        names += {"development": DEVELOPMENT, "untouched": UNTOUCHED}.get(each, (each,))
    found: defaultdict[str, dict[Key, Course]] = defaultdict(dict)
    for path in paths:
        for line in read(path):
            if line["problem"] in names:
                is_ratio = problem(line["problem"], line["seed"]).is_ratio
                key = (line["problem"], line["seed"])
                found[line["opponent"]][key] = Course(
                    logarithms(np.array(line["truths"]), is_ratio),
                    np.cumsum(line["trial_seconds"]),
                )
    common = set.intersection(*(set(each) for each in found.values())) if found else set()
    return {who: {key: each[key] for key in sorted(common)} for who, each in found.items()}


def with_trials(found: Courses, trials: int) -> list[Key]:
    """Return the studies of which every sampler has so many trials."""
    common = next(iter(found.values()))
    return [key for key in common if all(len(e[key].losses) >= trials for e in found.values())]


def with_seconds(found: Courses, trials: int) -> list[Key]:
    """Return the studies of which every sampler has so many trials, with their seconds."""
    clock = found.get(CLOCK)
    return [key for key in with_trials(found, trials) if clock and len(clock[key].ends)]


def first(trials: int) -> Count:
    """Let the first trials count."""
    return lambda key, course: trials


def within_time_of(found: Courses, trials: int) -> Count:
    """Return how many trials end within the time of so many random ones."""
    times: defaultdict[str, list[float]] = defaultdict(list)
    for key in with_seconds(found, trials):
        times[key[0]].append(found[CLOCK][key].ends[trials - 1])
    usual = {name: float(np.median(each)) for name, each in times.items()}
    return lambda key, course: int(np.searchsorted(course.ends, usual[key[0]], side="right"))


def measured(found: Courses, keys: list[Key], count: Count) -> dict[str, Array]:
    """Return the measures of each sampler: (studies, measures)."""
    return {
        who: np.array(
            [
                indicators(each[key].losses[: max(count(key, each[key]), 1)], problem(*key).front)
                for key in keys
            ]
        )
        for who, each in found.items()
    }


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


def show(found: Courses, title: str, keys: list[Key], count: Count, against: str) -> None:
    """Print the table of some studies, as far as their trials count."""
    if not keys:
        return
    each, names = measured(found, keys, count), [name for name, _ in keys]
    others = [who for who in each if who != against]
    chances = holm(
        [chance_of_no_difference(each[who][:, 0] - each[against][:, 0], names) for who in others]
    )
    print(
        f"\n{title}: {len(set(names))} problems, {len(keys)} studies per sampler\n"
        f"{'':<22}{'trials':>7}"
        + "".join(f"{name:>31}" for name in NAMES)
        + "   ours better : worse   p (Holm)"
    )
    order = sorted(each, key=lambda who: float(np.median(each[who][:, 0])))
    for who in order:
        trials = np.median([count(key, found[who][key]) for key in keys])
        line = f"{who:<22}{trials:>7.0f}"
        for column in each[who].T:
            low, middle, high = np.percentile(column, [25, 50, 75])
            line += f"{f'{middle:.3f} ({low:.3f} … {high:.3f})':>31}"
        if who != against:
            more = each[who][:, 0] - each[against][:, 0]
            wins, losses = int((more > TIE).sum()), int((more < -TIE).sum())
            line += f"   {wins:>11} : {losses:<5}   {chances[others.index(who)]:8.2g}"
        print(line)


def by_problem(found: Courses, trials: int) -> None:
    """Print the median logarithmic difference per problem: where a sampler wins and loses."""
    keys = with_trials(found, trials)
    each, names = measured(found, keys, first(trials)), np.array([name for name, _ in keys])
    print(f"\n{NAMES[0]} after {trials} trials, median over seeds, by problem")
    print(f"{'':<36}" + "".join(f"{who:>{max(len(who) + 2, 9)}}" for who in each))
    for name in dict.fromkeys(names.tolist()):
        row = [float(np.median(values[names == name, 0])) for values in each.values()]
        print(
            f"{name:<36}"
            + "".join(f"{v:>{max(len(w) + 2, 9)}.3f}" for w, v in zip(each, row, strict=True))
        )


def draw(found: Courses, path: Path) -> None:
    """Draw the logarithmic hypervolume difference: medians, and quartiles as bands.

    On the left by trials, on the right by simulated seconds, where problems have them.
    """
    import matplotlib.pyplot as plt

    most = next(n for n in range(1_000, 0, -1) if with_trials(found, n))
    places = list(range(10, most + 1, 5))
    figure, axes = plt.subplots(1, 2, figsize=(10, 4.5), sharey=True, layout="constrained")
    by_trials = [measured(found, with_trials(found, n), first(n)) for n in places]
    _lines(axes[0], places, by_trials, "trials")
    by_time = [measured(found, with_seconds(found, n), within_time_of(found, n)) for n in places]
    _lines(axes[1], places, by_time, f"simulated seconds, in {CLOCK} trials")
    axes[0].set_ylabel(f"{NAMES[0]} (lower is better)")
    axes[0].legend()
    figure.savefig(path, dpi=150)
    print(f"\ndrawn: {path}")


def _lines(axes: Any, places: list[int], curves: list[dict[str, Array]], label: str) -> None:
    for who in curves[0]:
        columns = [
            np.percentile(each[who][:, 0], [25, 50, 75]) for each in curves if len(each[who])
        ]
        low, middle, high = np.array(columns).T
        (line,) = axes.plot(places[: len(middle)], middle, label=who)
        axes.fill_between(places[: len(middle)], low, high, color=line.get_color(), alpha=0.12)
    axes.set_xlabel(label)


def main() -> None:
    """Print the tables and draw the picture."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("results", type=Path, nargs="*", default=[RESULTS])
    parser.add_argument("--problems", nargs="+", default=["untouched"])
    parser.add_argument("--against", default="ours")
    parser.add_argument("--picture", type=Path)
    asked = parser.parse_args()
    found = courses(asked.results, asked.problems)
    if asked.against not in found:
        parser.error(f"no study of {asked.against!r} on these problems in {asked.results}")
    if not next(iter(found.values())):
        parser.error("no study that every sampler has: run the missing ones, or name fewer files")
    reached = [n for n in TRIALS if with_trials(found, n)]
    for n in reached:
        show(found, f"after {n} trials", with_trials(found, n), first(n), asked.against)
    for n in TRIALS:
        title = f"after the time of {n} {CLOCK} trials"
        show(found, title, with_seconds(found, n), within_time_of(found, n), asked.against)
    for n in dict.fromkeys(reached[:1] + reached[-1:]):
        by_problem(found, n)
    if asked.picture:
        draw(found, asked.picture)


if __name__ == "__main__":
    main()
