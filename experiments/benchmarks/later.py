"""Benchmark: does a published frontier hold when it is measured again later?

    python experiments/benchmarks/later.py STUDY.yaml [--rounds 10]

Run it an hour or more after a study was confirmed. All confirmed points, published or not, and the
naive frontier (the best points by the search's own values) are measured in an independent campaign:
every point has a launch in every round, and only the files of the earlier measurements are used.
Quality is computed again on the test split: it is the same unless a runtime is not deterministic,
so the published times are what is tested. It prints how many points are inside their published
intervals, and how many are still non-dominated among all points measured now: no other point except
their own ties dominates them by the new values and can be told apart from them (by the joint test
of publication, on the new measurements). The naive frontier's accuracies are of another split, so
only its times are compared. Let nothing else run.
"""

import argparse
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from paretune.runners.execute.build_worker import BuildWorker
from paretune.runners.execute.worker_jobs import WorkerSettings
from paretune.runners.failure import Failure
from paretune.runners.measure.campaign import Campaign, Entry
from paretune.runners.measure.evaluator import Evaluator
from paretune.runners.measure.statistic import Statistic
from paretune.search.confirm.fresh_points import FreshPoints, Point
from paretune.search.confirm.publication import is_tie
from paretune.search.deliver.choice import points
from paretune.search.record.history import History
from paretune.search.record.objective import losses
from paretune.search.record.pareto import dominance
from paretune.search.record.trial import TrialRecord
from paretune.search.record.words import format_metric
from paretune.search.study.open_study import OpenStudy, load_history
from paretune.search.study.parts import study_evaluator
from paretune.search.study.samples import split_samples

Fresh = Mapping[int, Mapping[str, Statistic]]
LEAST_INSIDE, LEAST_NON_DOMINATED = 0.9, 0.95


def main() -> int:
    """Print both frontiers' shares; return 1 if the published one does not hold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("study", type=Path)
    parser.add_argument("--rounds", type=int, default=10)
    arguments = parser.parse_args()
    history = load_history(arguments.study)
    numbers = {point.number for point in history.published}
    if not numbers:
        sys.exit("the study was not confirmed: run `paretune confirm` first, and wait an hour")
    published = [record for record in points(history) if record.number in numbers]
    naive = history.frontier
    age_h = (time.time() - max(record.finished_at for record in history.records)) / 3600
    print(f"the search ended {age_h:.1f} h ago; {arguments.rounds} launches per point now")
    everything = [*naive, *points(history)]  # confirmed values last: they replace the search's
    records = list({record.number: record for record in everything}.values())
    print(
        f"{len(history.confirmed)} confirmed points, {len(published)} published, {len(naive)} naive"
    )
    measured = measure(arguments.study, history, records, arguments.rounds)
    ties = {point.number: point.same_as for point in history.confirmed}
    front = still_on_front(measured, ties)
    goals = history.objectives
    fresh = {
        point.record.number: {
            **(point.record.measurement.statistics if point.record.measurement else {}),
            **{name: Statistic(value) for name, value in measured.metrics(place).items()},
        }
        for place, point in enumerate(measured.points)
    }
    table(published, fresh, front, history)
    metrics = [goal.metric for goal in goals]
    inside, stay = shares("published", published, fresh, front, metrics)
    shares("confirmed", points(history), fresh, front, metrics)
    times = [metric for metric in metrics if metric != history.quality_metric]
    shares("naive", naive, fresh, front, times)
    return 0 if inside >= LEAST_INSIDE and stay >= LEAST_NON_DOMINATED else 1


def still_on_front(measured: FreshPoints, ties: Mapping[int, int | None]) -> set[int]:
    """Return the trials that no other, except their marked ties, clearly dominates now."""
    numbers = [point.record.number for point in measured.points]
    values = losses([measured.metrics(i) for i in range(len(numbers))], measured.objectives)
    beats = dominance(values[None])[0]
    found = set()
    for place, number in enumerate(numbers):
        rivals = (i for i in np.flatnonzero(beats[:, place]) if ties.get(numbers[i]) != number)
        if all(is_tie(measured.draws[:, place], measured.draws[:, i]) for i in rivals):
            found.add(number)
    return found


def measure(
    study_file: Path, history: History, records: Sequence[TrialRecord], rounds: int
) -> FreshPoints:
    """Return the new measurements of trials."""
    study = OpenStudy(study_file)
    config, paths = study.config, study.paths
    log = paths.logs / "later.log"
    own = WorkerSettings(config.workload, paths.folder, paths.store, log, store_url=paths.store_url)
    with BuildWorker(own) as worker:
        evaluator = study_evaluator(study, worker, worker.describe())
        samples = split_samples(worker, "test", evaluator.samples.pipeline)
        settings = replace(
            config.confirmation.settings(evaluator.settings),
            launches=rounds,
            max_launches=rounds,
            extra_launches=rounds // 2,
        )
        evaluator = evaluator.on(samples, settings)
        entries = [entry(record, evaluator) for record in records]
        qualities = [quality(each, evaluator) for each in entries]
        campaign = Campaign(evaluator.runners, settings, entries)
        while left := campaign.round(
            lambda each: evaluator.launched(each.artifact, each.run, samples)
        ):
            print(f"{left} launches", file=sys.stderr)
    for record, each in zip(records, entries, strict=True):
        if each.failure:
            sys.exit(f"trial {record.number}: {each.failure.message}")
    found = [Point(r, e, *q) for r, e, q in zip(records, entries, qualities, strict=True)]
    launches = [campaign.timing(each).launches for each in entries]
    return FreshPoints(found, launches, history.objectives, history.quality_metric)


def entry(record: TrialRecord, evaluator: Evaluator) -> Entry:
    """Return a trial's file, to be measured with the trial's run settings."""
    artifact = record.measurement.artifact if record.measurement else ""
    if evaluator.store.get(artifact) is None:
        sys.exit(f"the model of trial {record.number} left the store")
    return Entry(artifact, record.candidate.run)


def quality(each: Entry, evaluator: Evaluator) -> tuple[float, list[float]]:
    """Return a file's quality on the evaluator's samples, and on bootstrap samples of them."""
    scored = evaluator.scored(each.artifact, each.run, evaluator.samples)
    if isinstance(scored, Failure):
        sys.exit(f"{each.artifact[:12]} by {each.run.target}: {scored}")
    return scored.value, list(scored.resampled)


def is_inside(record: TrialRecord, now: Mapping[str, Statistic], metric: str) -> bool:
    """Tell whether a fresh value lies in a trial's published interval."""
    told = record.measurement.statistics[metric] if record.measurement else Statistic(0.0)
    low, high = told.ends
    return low <= now[metric].value <= high


def table(
    records: Sequence[TrialRecord], fresh: Fresh, front: Collection[int], history: History
) -> None:
    """Print each point's published and new values."""
    for record in records:
        now, told = fresh[record.number], record.measurement
        print(f"trial {record.number}: {record.candidate.label}", end="")
        print("" if record.number in front else "   DOMINATED NOW")
        for goal in history.objectives:
            then = told.statistics[goal.metric] if told else Statistic(0.0)
            values = (*then.ends, now[goal.metric].value)
            shown = [format_metric(goal.metric, value) for value in values]
            mark = "" if is_inside(record, now, goal.metric) else "   OUTSIDE"
            print(f"    {goal.metric:<26} {shown[0]} … {shown[1]}, now {shown[2]}{mark}")


def shares(
    name: str,
    records: Sequence[TrialRecord],
    fresh: Fresh,
    front: Collection[int],
    metrics: Sequence[str],
) -> tuple[float, float]:
    """Print and return the share inside all its intervals, and the share still on the frontier."""
    count = len(records)
    inside = {
        metric: sum(is_inside(record, fresh[record.number], metric) for record in records)
        for metric in metrics
    }
    whole = sum(all(is_inside(r, fresh[r.number], m) for m in metrics) for r in records)
    stay = sum(record.number in front for record in records)
    each = ", ".join(f"{metric} {n}" for metric, n in inside.items())
    print(
        f"{name:<10} {count:>3} points: inside their intervals {whole} ({whole / count:.0%}; "
        f"{each}); still non-dominated {stay} ({stay / count:.0%})"
    )
    return whole / count, stay / count


if __name__ == "__main__":
    sys.exit(main())
