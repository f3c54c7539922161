"""Benchmark: are the published probabilities true? Studies whose truth is known, by simulation.

    python experiments/benchmarks/calibration.py [--studies 200] [--jobs 2] [--seed 1000]
        [--scatter 0]

Each study is a different analytic problem (problem.py), searched by the default strategy over noisy
values, with the same code that chooses, judges and publishes points in a real study. Only the
measurements are simulated: a launch is drawn from real launches (launches.npz: the calls of
confirmed points of a real study, by `--record STUDY.yaml`), scaled to the candidate's true latency;
two measurements of one file differ by 0.5 %; answers to the samples of a split are right or wrong
with the candidate's true accuracy, mostly on the same samples for every model. With `--scatter
0.003` that accuracy deviates from the axes' prediction with a standard deviation of 0.3 points, as
trainings do by chance: publication learns from the axes and must not be misled.

It prints, for each tenth of probability, how many of the points are truly non-dominated among the
confirmed ones; how many published points and rows are, compared with the naive frontier (the best
values of the search); and how much of the hypervolume of all trials, by their true values, each
holds. The constants of `search/confirm/publication.py` were fitted on seeds 0 to 99 without
scatter: the seeds from 1000 on are others.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from problem import SPACE, Problem
from study_problem import OBJECTIVES

from paretune.runners.environment import fingerprint
from paretune.runners.measure.campaign import Entry
from paretune.runners.measure.evaluator import RESAMPLES, resampled_quality
from paretune.runners.measure.launch_statistics import summarize
from paretune.runners.measure.measurement import Measurement
from paretune.runners.measure.statistic import RESOLUTION
from paretune.runners.runtimes.launch import Launch
from paretune.runners.runtimes.proof import ProviderShare
from paretune.search.confirm.fresh_points import FreshPoints, Point
from paretune.search.confirm.plausible import plausible
from paretune.search.confirm.publication import publish, row_members
from paretune.search.propose.frontier_strategy import FrontierStrategy
from paretune.search.record.history import History
from paretune.search.record.hypervolume import hypervolume
from paretune.search.record.objective import losses
from paretune.search.record.pareto import dominance, non_dominated
from paretune.search.record.trial import TrialRecord
from paretune.search.study.open_study import OpenStudy
from paretune.spaces import Candidate

TRIALS = 64
VALIDATION, TEST = 450, 450
"""Samples of each split, as many as the digits study has."""
SEARCH_LAUNCHES, CONFIRMATION_LAUNCHES = 3, 10
ALIKE = 0.9
"""Correlation of two models' latent errors on one sample."""
BETWEEN = RESOLUTION / 2
"""Relative standard deviation from one measurement of a file to the next."""
QUANTILES = np.linspace(0.5, 99.5, 100)
"""Percentiles that stand for the calls of a launch."""
LAUNCHES = Path(__file__).with_name("launches.npz")


@dataclass
class Tally:
    """The results of a study.

    Attributes:
        chances: The probability of each confirmed point.
        truths: Whether it is truly non-dominated among the confirmed.
        rows: Whether each published row holds such a point.
        row_chances: The probability of each published row.
        published: Whether each published point is such a point itself.
        naive: Whether each point of the naive frontier is, among all trials.
        published_of_all: The same for the published points.
        held: Share of the true hypervolume that the published points hold.
        naive_held: The same for the naive frontier.
        confirmed_held: The same for all confirmed points.
        is_sound: Whether no published point is dominated by the published values of another, and
            every non-dominated point is published, a tie, or in a row that is not likely enough.
    """

    chances: list[float]
    truths: list[bool]
    rows: list[bool]
    row_chances: list[float]
    published: list[bool]
    naive: list[bool]
    published_of_all: list[bool]
    held: float
    naive_held: float
    confirmed_held: float
    is_sound: bool


class Machine:
    """A simulated machine: measures candidates of a problem with the noise of a real one.

    Args:
        problem: The true metrics of candidates.
        launches: Latencies by series, launch and call, each series with a mean of 1:
            shape (series, launches, calls).
        seed: Of the noise.
        scatter: Standard deviation of a model's accuracy around that of its build.
    """

    def __init__(
        self, problem: Problem, launches: NDArray[np.float64], seed: int, scatter: float = 0.0
    ) -> None:
        self.problem = problem
        self.scatter = scatter
        self.launches = launches
        self.rng = np.random.default_rng([seed, 1])
        self.series: dict[Candidate, int] = {}
        self.own: dict[str, int] = {}

    def truth(self, candidate: Candidate) -> dict[str, float]:
        """Return a candidate's true metrics."""
        base = self.problem.metrics(candidate)
        series = self._series(candidate)
        p95 = float(np.percentile(series, 95, axis=1).mean())
        rate = float((1 / series.mean(axis=1)).mean())
        return {
            "accuracy": self.accuracy(candidate),
            "latency_p95_ms": base["latency_p95_ms"] * p95,
            "throughput_samples_per_s": base["throughput_samples_per_s"] * rate,
        }

    def launch(self, candidate: Candidate, count: int) -> list[Launch]:
        """Return launches of one measurement of a candidate."""
        series = self._series(candidate)
        scale = self.problem.metrics(candidate)["latency_p95_ms"]
        scale *= np.exp(BETWEEN * self.rng.standard_normal())
        rows = self.rng.integers(len(series), size=count)
        return [_launch(scale * series[row]) for row in rows]

    def right(self, candidate: Candidate, split: str) -> NDArray[np.bool_]:
        """Return which samples of a split a candidate's model gets right; fixed per model."""
        from scipy.stats import norm

        count, number = {"validation": (VALIDATION, 2), "test": (TEST, 3)}[split]
        hard = np.random.default_rng([self.problem._noise, number]).standard_normal(count)
        digits = int(_build(candidate)[:8], 16)
        own = np.random.default_rng([self.problem._noise, number, digits]).standard_normal(count)
        latent = np.sqrt(ALIKE) * hard + np.sqrt(1 - ALIKE) * own
        found: NDArray[np.bool_] = latent < norm.ppf(self.accuracy(candidate))
        return found

    def accuracy(self, candidate: Candidate) -> float:
        """Return the true accuracy of a candidate's model."""
        digits = int(_build(candidate)[:8], 16)
        chance = np.random.default_rng([self.problem._noise, 4, digits]).standard_normal()
        return float(np.clip(self.problem.accuracy(candidate.build) + self.scatter * chance, 0, 1))

    def _series(self, candidate: Candidate) -> NDArray[np.float64]:
        place = self.series.setdefault(candidate, int(self.rng.integers(len(self.launches))))
        found: NDArray[np.float64] = self.launches[place]
        return found


def _build(candidate: Candidate) -> str:
    """Return the name of a candidate's file."""
    return replace(candidate, run=SPACE.baseline.run).digest


def _launch(latency_ms: NDArray[np.float64]) -> Launch:
    return Launch(1.0, 1.0, 1, True, tuple(latency_ms.tolist()), 1.0, 1.0, 0.0, 1, 0.1)


def _record(number: int, candidate: Candidate, machine: Machine) -> TrialRecord:
    """Return the search's record of a candidate."""
    run = candidate.run
    right = machine.right(candidate, "validation")
    resampled = tuple(_resampled(right))
    statistics = {
        **summarize(machine.launch(candidate, SEARCH_LAUNCHES), run.batch_size),
        "accuracy": resampled_quality(float(right.mean()), resampled),
    }
    measurement = Measurement(
        run=run,
        artifact=_build(candidate),
        statistics=statistics,
        launches=SEARCH_LAUNCHES,
        contaminated_launches=0,
        is_steady=True,
        is_resolved=True,
        host_was_idle=True,
        canary_ms=0.1,
        providers={run.execution_provider: ProviderShare(1, 1.0, 1.0)},
        samples="1" * 64,
        environment=fingerprint(),
        resampled=resampled,
    )
    return TrialRecord(number, candidate, measurement, float(number), number + 1.0)


def _resampled(right: NDArray[np.bool_]) -> list[float]:
    """Return the accuracy on bootstrap samples of a split, the same samples for every model."""
    rng = np.random.default_rng(0)
    found: list[float] = (
        right[rng.integers(len(right), size=(RESAMPLES, len(right)))].mean(1).tolist()
    )
    return found


def _point(record: TrialRecord, machine: Machine) -> tuple[Point, list[Launch]]:
    """Return the confirmation's measurement of a trial."""
    candidate = record.candidate
    right = machine.right(candidate, "test")
    launches = machine.launch(candidate, CONFIRMATION_LAUNCHES)
    entry = Entry("0" * 64, candidate.run, launches)
    return Point(record, entry, float(right.mean()), _resampled(right)), launches


def study(seed: int, launches: NDArray[np.float64], scatter: float) -> Tally:
    """Search, confirm and publish one simulated study, and compare with its truth."""
    machine = Machine(Problem(seed), launches, seed, scatter)
    strategy = FrontierStrategy(SPACE, OBJECTIVES, seed=seed)
    history = History(OBJECTIVES)
    for number in range(TRIALS):
        candidate = SPACE.baseline if number == 0 else strategy.propose()
        assert candidate is not None
        record = _record(number, candidate, machine)
        history.add(record)
        strategy.observe(candidate, record.metrics)
    wanted = [record for record in plausible(history) if history.is_of_interest(record)]
    measured = [_point(record, machine) for record in wanted]
    points = [point for point, _ in measured]
    each = [launches for _, launches in measured]
    fresh = FreshPoints(points, each, OBJECTIVES, "accuracy", history.of_interest)
    values = losses([fresh.metrics(i) for i in range(len(points))], OBJECTIVES)
    verdicts = publish(values, fresh.draws)
    true = losses([machine.truth(record.candidate) for record in wanted], OBJECTIVES)
    every = losses([machine.truth(record.candidate) for record in history.records], OBJECTIVES)
    is_best = non_dominated(true)
    beats = dominance(values[None])[0]
    of_all = dict(zip((r.number for r in history.records), non_dominated(every), strict=True))
    reference = history.reference
    assert reference is not None
    whole = hypervolume(every[non_dominated(every)], reference)
    standing = [
        i for i, verdict in enumerate(verdicts) if verdict.is_published and verdict.row == i
    ]

    def held(found: NDArray[np.float64]) -> float:
        return hypervolume(found[non_dominated(found)], reference) / whole

    naive = [record.number for record in history.frontier]
    return Tally(
        [verdict.probability for verdict in verdicts],
        [bool(each) for each in is_best],
        [bool(is_best[row_members(verdicts, i)].any()) for i in standing],
        [verdicts[i].row_probability or 0.0 for i in standing],
        [bool(is_best[i]) for i in standing],
        [bool(of_all[number]) for number in naive],
        [bool(of_all[wanted[i].number]) for i in standing],
        held(true[standing]),
        held(every[naive]),
        held(true),
        all(not beats[:, i].any() for i in standing)
        and all(v.row is not None for v, b in zip(verdicts, beats.T, strict=True) if not b.any()),
    )


def show(tallies: Sequence[Tally]) -> bool:
    """Print the tables; tell whether the probabilities and the rule hold."""
    chances = np.concatenate([t.chances for t in tallies])
    truths = np.concatenate([t.truths for t in tallies])
    good = True
    print("probability     points   truly non-dominated")
    for low in (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9):
        inside = (chances >= low) & (chances < low + 0.1 + 1e-9 * (low > 0.85) * 1e9)
        if not inside.any():
            continue
        share, said = truths[inside].mean(), chances[inside].mean()
        holds = low - 0.03 <= share <= low + 0.13
        good &= holds or low < 0.5
        print(
            f"{low:.1f} … {low + 0.1:.1f}   {inside.sum():>9,}   {share:6.1%}  (said: {said:.1%})"
            f"{'' if holds else '   OFF'}"
        )
    for name, each in (
        ("published rows with a truly non-dominated point", [t.rows for t in tallies]),
        ("published points that are one themselves", [t.published for t in tallies]),
        ("published points, among all trials", [t.published_of_all for t in tallies]),
        ("naive frontier, among all trials", [t.naive for t in tallies]),
    ):
        flat = np.concatenate(each)
        rng = np.random.default_rng(0)
        sums = np.array([[sum(e), len(e)] for e in each])
        drawn = sums[rng.integers(len(sums), size=(1000, len(sums)))].sum(axis=1)
        ends = np.percentile(drawn[:, 0] / drawn[:, 1], [2.5, 97.5])
        print(
            f"{name:<50} {flat.mean():6.1%} ({ends[0]:.1%} … {ends[1]:.1%}) of {len(flat):,}, "
            f"{len(flat) / len(tallies):.1f} per study"
        )
    print(f"rows were given {np.concatenate([t.row_chances for t in tallies]).mean():.1%}")
    for name, shares in (
        ("published", [t.held for t in tallies]),
        ("confirmed", [t.confirmed_held for t in tallies]),
        ("naive", [t.naive_held for t in tallies]),
    ):
        print(
            f"{name:<10} hold {np.mean(shares):6.1%} of the true hypervolume "
            f"(lowest tenth of studies: {np.percentile(shares, 10):.1%})"
        )
    sound = sum(t.is_sound for t in tallies)
    print(f"no published point is dominated, none is missing without a reason: {sound} studies")
    rows = np.concatenate([t.rows for t in tallies]).mean()
    held = np.mean([t.held for t in tallies])
    return bool(good and rows >= 0.95 and held >= 0.95 and sound == len(tallies))


def record(study_file: Path) -> int:
    """Keep the launches of a study's confirmed points as the noise to simulate with."""
    study = OpenStudy(study_file)
    series = []
    for point in study.history().confirmed:
        path = study.store.get(point.measurement.samples)
        if path is None or point.measurement.launches < CONFIRMATION_LAUNCHES:
            continue
        with np.load(path) as arrays:
            calls = [
                np.percentile(arrays[f"launch_{i}_latency_ms"], QUANTILES)
                for i in range(CONFIRMATION_LAUNCHES)
            ]
        series.append(np.array(calls) / np.mean(calls))
    np.savez_compressed(LAUNCHES, latency=np.array(series, dtype=np.float32))
    print(f"{len(series)} points of {CONFIRMATION_LAUNCHES} launches each are in {LAUNCHES.name}")
    return 0


def main() -> int:
    """Print the tables; return 1 if probabilities or the rule do not hold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1000)
    parser.add_argument("--scatter", type=float, default=0.0)
    parser.add_argument("--record", type=Path, metavar="STUDY.yaml")
    arguments = parser.parse_args()
    if arguments.record is not None:
        return record(arguments.record)
    launches = np.load(LAUNCHES)["latency"].astype(float)
    seeds = range(arguments.seed, arguments.seed + arguments.studies)
    tallies = Parallel(n_jobs=arguments.jobs, verbose=1)(
        delayed(study)(seed, launches, arguments.scatter) for seed in seeds
    )
    return 0 if show(tallies) else 1


if __name__ == "__main__":
    sys.exit(main())
