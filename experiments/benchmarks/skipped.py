"""Benchmark: what would the skipped candidates of a study have given?

    python experiments/benchmarks/skipped.py STUDY.yaml [--most 20]

Trains and measures candidates that a finished study skipped (a random sample, or all), and counts
those that would have been on its frontier. It also prints the share of skipped candidates and the
saved training. Let nothing else run.
"""

import argparse
import random
import sys
from pathlib import Path

from paretune.runners.build.plan import TRAINING_STAGES
from paretune.runners.execute.build_worker import BuildWorker
from paretune.runners.execute.job import Build
from paretune.runners.execute.worker_jobs import WorkerSettings
from paretune.runners.failure import Failure
from paretune.search.record.history import History
from paretune.search.record.objective import losses
from paretune.search.study.open_study import OpenStudy, load_history
from paretune.search.study.parts import study_evaluator


def main() -> int:
    """Print the counts; return 1 if over 2 % of those tried would have been on the frontier."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("study", type=Path)
    parser.add_argument("--most", type=int, default=20)
    arguments = parser.parse_args()
    history = load_history(arguments.study)
    skipped = history.skipped
    if not skipped:
        sys.exit("the study skipped nothing")
    print(
        f"{len(skipped)} of {len(history.records)} candidates were skipped "
        f"({len(skipped) / len(history.records):.0%})"
    )
    sample = random.Random(0).sample(skipped, min(arguments.most, len(skipped)))
    study = OpenStudy(arguments.study)
    config, paths = study.config, study.paths
    settings = WorkerSettings(
        config.workload,
        paths.folder,
        paths.store,
        paths.logs / "skipped.log",
        store_url=paths.store_url,
    )
    ended = max(record.finished_at for record in history.records)
    events = study.store.executions()
    in_study = {event["key"] for event in events if event["at"] <= ended}
    trained: dict[str, float] = {}
    tried = lost = exceeded = 0
    with BuildWorker(settings) as worker:
        info = worker.describe()
        evaluator = study_evaluator(study, worker, info)
        for record in sample:
            built = worker.perform(Build(record.candidate.build)).value
            if isinstance(built, Failure):
                print(f"trial {record.number}: {built.message}")
                continue
            for stage in built.lineage:
                if stage.stage in TRAINING_STAGES and stage.key not in in_study:
                    trained[stage.key] = stage.seconds
            tried += 1
            outcome = evaluator.measure(built.artifact, record.candidate.run, evaluator.samples)
            if isinstance(outcome, Failure):
                print(f"trial {record.number}: {outcome.message}")
                continue
            bound = record.skip.quality_bound if record.skip else 0.0
            exceeded += outcome.metrics[history.quality_metric] > bound
            lost += _is_new(outcome.metrics, history)
    print(
        f"built after all: {tried} of them, by {len(trained)} stages of training that the study "
        f"had left out: {sum(trained.values()):.0f} s were saved by skipping these {tried}"
    )
    print(
        f"{exceeded} exceeded the bound on their quality; {lost} of {tried} would have been on "
        f"the frontier ({lost / max(tried, 1):.0%})"
    )
    return 1 if lost > 0.02 * tried else 0


def _is_new(metrics: dict[str, float], history: History) -> bool:
    """Tell whether nothing on the frontier is as good in every objective."""
    [point] = losses([metrics], history.objectives)
    front = losses([record.metrics for record in history.frontier], history.objectives)
    return not (front <= point).all(axis=1).any()


if __name__ == "__main__":
    sys.exit(main())
