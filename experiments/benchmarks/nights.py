"""Benchmark: how much of the true frontier is known after so many simulated hours?

    python experiments/benchmarks/nights.py [--seeds 10] [--only NAME …] [--hours 4] [--trials N]
        [--usual] [--rivals NAME …] [--study FILE [--training-times 1]]

Builds of minutes and measurements of seconds on a simulated clock (simulated_executor.py);
everything else is real, including the study's loop. Each seed is a different problem (problem.py).
With `--study`, all seeds have the same space: one that was trained and measured whole, and is
replayed (measured_study.py); a seed draws what was measured. With `--training-times`, its
trainings take so many times as long: the same study with more data.

`naive` is plain Optuna with its default sampler, which pays for every stage of every trial;
`naive+cache` pays for a stage once, and so do the rows of other samplers of plain Optuna.
`mo-asha-2` and `mo-asha-3` are Syne Tune's (mo_asha.py). It prints the share of the true frontier's
hypervolume (mean over seeds), how much sooner than `--rivals` (the first two) a contestant reaches
what they have at the end (median over seeds), and the true fate of the skipped candidates.

With `--trials`, a night ends after so many trials, and also after `--hours` if both are given. All
qualities down to zero count; with `--usual`, those of a study without a wish.
`frontier-no-costs` is our strategy as if all candidates took the same time, and
`frontier-per-second` as if a trial were worth nothing but its seconds. A strategy with `-no-gate`
trains without timing skeletons first. `oracle` knows everything beforehand (oracle.py): how soon is
it, if there is nothing to learn?
"""

import argparse
import math
import statistics
import warnings
from bisect import bisect_left
from collections.abc import Callable
from functools import partial
from pathlib import Path

import optuna
from measured_study import MeasuredStudy
from mo_asha import mo_asha
from oracle import Oracle
from plain_trial import suggested
from problem import Problem
from simulated_study import Night, study
from study_problem import EVERYTHING, OBJECTIVES, StudyProblem

from paretune.search.record.objective import losses
from paretune.search.record.wish import ANYTHING
from paretune.search.run.budget import Budget

MARKS = (1 / 8, 1 / 4, 1 / 2, 1)
"""Shares of the night."""


def naive(
    problem: StudyProblem,
    seed: int,
    budget: Budget,
    *,
    has_cache: bool,
    has_integers: bool = True,
    sampler: Callable[..., optuna.samplers.BaseSampler] = optuna.samplers.TPESampler,
) -> Night:
    """Run plain Optuna; axes with an order are integers, or all are categories."""
    night = Night(problem)

    def objective(trial: optuna.Trial) -> list[float]:
        candidate = suggested(trial, problem.space, has_integers=has_integers)
        if not has_cache:
            night.work.forget()
        metrics = night.try_out(candidate)
        return [goal.loss(metrics[goal.metric]) for goal in OBJECTIVES]

    loop = optuna.create_study(directions=["minimize"] * 3, sampler=sampler(seed=seed))
    seconds = math.inf if budget.hours is None else budget.hours * 3600
    while night.executor.now < seconds and night.trials < budget.trials:
        loop.optimize(objective, n_trials=1)
    return night


CONTESTANTS: dict[str, Callable[[StudyProblem, int, Budget], Night]] = {
    "naive": partial(naive, has_cache=False),
    "naive+cache": partial(naive, has_cache=True),
    "multivariate+cache": partial(
        naive,
        has_cache=True,
        sampler=partial(optuna.samplers.TPESampler, multivariate=True),
    ),
    "categories+cache": partial(naive, has_cache=True, has_integers=False),
    "random+cache": partial(naive, has_cache=True, sampler=optuna.samplers.RandomSampler),
    "tpe": partial(study, sampler="tpe"),
    "gp": partial(study, sampler="gp"),
    "random": partial(study, sampler="random"),
    "frontier": study,
    "mo-asha-2": partial(mo_asha, reduction_factor=2),
    "mo-asha-3": partial(mo_asha, reduction_factor=3),
    "oracle": lambda problem, seed, budget: Oracle(problem).run(budget),
    "frontier-no-costs": partial(study, cost=lambda candidate: 1.0),
    "frontier-per-second": partial(study, seconds_per_trial=lambda: 0.0),
    "frontier-no-gate": partial(study, latency_first="never"),
    "tpe-no-gate": partial(study, sampler="tpe", latency_first="never"),
    "random-no-gate": partial(study, sampler="random", latency_first="never"),
}


def main() -> None:
    """Print one line per contestant."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10)
    usual = [name for name in CONTESTANTS if not name.startswith("mo-asha")]
    parser.add_argument("--only", nargs="*", default=usual)
    parser.add_argument("--hours", type=float, help="of a night; 4 if there is no limit of trials")
    parser.add_argument("--trials", type=int)
    parser.add_argument("--usual", action="store_true")
    parser.add_argument("--rivals", nargs="*", default=["naive", "naive+cache"])
    parser.add_argument("--study", type=Path, help="a file of record_study.py")
    parser.add_argument("--training-times", type=float, default=1.0)
    arguments = parser.parse_args()
    night_hours = arguments.hours or 4.0
    hours = [mark * night_hours for mark in MARKS]
    limit = arguments.hours if arguments.trials else night_hours
    budget = Budget(arguments.trials or 10**6, limit)
    warnings.simplefilter("ignore")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    head = "".join(f"{each:>6g} h" for each in hours)
    head += "".join(f"  sooner than {name}" for name in arguments.rivals)
    print(f"{'':<20}{head}  trials  skipped")
    ends: dict[tuple[str, int], float] = {}
    for name in arguments.only:
        shares: list[list[float]] = []
        nights: list[Night] = []
        sooner: dict[str, list[float]] = {rival: [] for rival in arguments.rivals}
        lost = 0
        for seed in range(arguments.seeds):
            wish = ANYTHING if arguments.usual else EVERYTHING
            problem: StudyProblem = Problem(seed, wish)
            if arguments.study:
                problem = MeasuredStudy(arguments.study, seed, wish, arguments.training_times)
            night = CONTESTANTS[name](problem, seed, budget)
            nights.append(night)
            known = [[m for at, m in night.found if at <= h * 3600] for h in hours]
            shares.append([problem.share_of_hypervolume(metrics) for metrics in known])
            lost += _on_frontier(problem, night)
            if name in arguments.rivals:
                ends[name, seed] = shares[-1][-1]
            for rival in arguments.rivals:
                if (rival, seed) in ends:
                    there = _reached(problem, night, ends[rival, seed])
                    sooner[rival].append(night_hours * 3600 / there)
        means = [statistics.fmean(column) for column in zip(*shares, strict=True)]
        trials = sum(night.trials for night in nights)
        skipped = sum(len(night.skipped) for night in nights)
        line = f"{name:<20}" + "".join(f"{mean:8.3f}" for mean in means)
        for rival, times in sooner.items():
            told = f"{statistics.median(times):.1f} ×" if times else ""
            line += f"{told:>{len(rival) + 14}}"
        line += f"{trials / len(nights):8.0f}{skipped / trials:9.1%}"
        if skipped:
            saved = sum(night.saved_seconds for night in nights) / 3600 / len(nights)
            line += f"; {saved:.1f} h of training saved a night; {lost} of {skipped} skipped "
            line += "candidates would have been on the frontier"
        print(line, flush=True)


def _reached(problem: StudyProblem, night: Night, share: float) -> float:
    """Return the seconds after which a share was reached; never is infinitely late."""
    metrics = [metrics for _, metrics in night.found]
    counts = range(1, len(metrics) + 1)
    count = bisect_left(counts, share, key=lambda n: problem.share_of_hypervolume(metrics[:n]))
    return night.found[count][0] if count < len(metrics) else math.inf


def _on_frontier(problem: StudyProblem, night: Night) -> int:
    """Count skipped candidates that nothing measured that night dominates."""
    found = losses([metrics for _, metrics in night.found], OBJECTIVES)
    points = losses([problem.metrics(candidate) for candidate in night.skipped], OBJECTIVES)
    return sum(not ((found <= p).all(axis=1) & (found < p).any(axis=1)).any() for p in points)


if __name__ == "__main__":
    main()
