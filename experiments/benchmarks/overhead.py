"""What does a trial cost besides building and measuring, and how does that grow?

    python experiments/benchmarks/overhead.py [--trials 1000] [--strategy frontier]

Runs a study whose trials are simulated, with everything else real and on disk: the strategy, the
Optuna storage, the gate, the history, MLflow and the console, called in the order of the study
loop. Prints the mean milliseconds that each of them takes per trial, in the 50 trials before each
mark, with the median and the longest proposal among them; then the seconds to resume the study and
to log it to an empty MLflow; then the seconds of the commands that read it, before and after a
confirmation whose values are simulated. The process has imported everything by then: imports, the
loading of a workload and the timing of its epochs are not counted.
"""

from __future__ import annotations

import argparse
import io
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import asdict
from pathlib import Path

import numpy as np
import yaml
from rich.console import Console
from simulated_trials import SPACE, observed, simulate

from paretune.runners.environment import fingerprint
from paretune.runners.workload.recipe import Recipe
from paretune.search.cli.main import main as paretune
from paretune.search.confirm.plausible import plausible
from paretune.search.confirm.publication import publish
from paretune.search.propose.cost import CostModel
from paretune.search.propose.exclusions import GivenUp
from paretune.search.propose.frontier_strategy import FrontierStrategy
from paretune.search.propose.gate import Gate
from paretune.search.propose.strategy import OptunaStrategy, Strategy
from paretune.search.propose.time_limit import Affordable
from paretune.search.record.confirmed import Confirmed
from paretune.search.record.history import History
from paretune.search.record.objective import default_objectives, losses
from paretune.search.review.mlflow.pictures import MlflowReview
from paretune.search.review.mlflow.run_tracking import MlflowTracking
from paretune.search.review.terminal.plain_reporter import PlainReporter
from paretune.search.run.budget import Budget
from paretune.search.storage.confirmed_points import ConfirmedPoints
from paretune.search.storage.study_storage import StudyStorage
from paretune.search.study.open_study import OpenStudy
from paretune.spaces import OPTIONAL_AXES, SearchSpace

MARKS = (100, 500, 1000, 2000, 5000)
WINDOW = 50
LIMIT_MS = 100.0
DRAWS = 200
PARTS = ("strategy", "storage", "gate", "history", "tracking", "console")
COMMANDS: dict[str, list[str]] = {
    "status": [],
    "frontier": [],
    "pick": ["--no-measure", "--max-accuracy-drop", "0.02"],
    "report": ["--out", "report.html"],
}


def main() -> int:
    """Print the tables; return 1 if a trial costs over 100 ms at the last mark up to 1,000."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=1000)
    strategies = ("frontier", "tpe", "gp", "random")
    parser.add_argument("--strategy", choices=strategies, default="frontier")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        study = SimulatedStudy(Path(name), arguments.strategy)
        began = time.perf_counter()
        totals = study.run(arguments.trials)
        print(f"{arguments.trials} trials in {time.perf_counter() - began:.1f} s", flush=True)
        study.show_resume()
        print(f"{'seconds':<12}" + "".join(f"{name:>10}" for name in COMMANDS) + "  report.html")
        study.show_commands("searched")
        study.confirm()
        study.show_commands("confirmed")
    judged = [total for mark, total in totals.items() if mark <= 1000]
    return 0 if judged and judged[-1] <= LIMIT_MS else 1


class Stopwatch:
    """Time spent on each part of a trial.

    Attributes:
        ms: Milliseconds by part, one entry per trial.
    """

    def __init__(self) -> None:
        self.ms: defaultdict[str, list[float]] = defaultdict(list)

    @contextmanager
    def time(self, part: str, *, again: bool = False) -> Iterator[None]:
        """Time a block; ``again`` adds to the part's last entry."""
        started = time.perf_counter()
        yield
        spent = (time.perf_counter() - started) * 1e3
        if again:
            self.ms[part][-1] += spent
        else:
            self.ms[part].append(spent)

    def around(self, mark: int) -> dict[str, float]:
        """Return each part's mean over the trials that end at a mark."""
        return {part: float(np.mean(self.ms[part][mark - WINDOW : mark])) for part in PARTS}

    def medians(self) -> str:
        """Return each part's median over all trials, in words."""
        return ", ".join(f"{part} {np.median(self.ms[part]):.1f}" for part in PARTS)


class SimulatedStudy:
    """A study that is real in everything but its measurements.

    Args:
        folder: The study's folder.
        strategy: Name of the strategy.
    """

    def __init__(self, folder: Path, strategy: str) -> None:
        self.folder = folder
        self.strategy = strategy
        self.space = SearchSpace.from_values(SPACE)
        self.goals = default_objectives("accuracy")
        (folder / "workload.py").write_text("", "utf-8")
        self.file = folder / "study.yaml"
        written = {"name": "simulated", "workload": "workload.py:Simulated", "space": SPACE}
        self.file.write_text(yaml.safe_dump(written), "utf-8")
        OpenStudy(self.file).paths.output.mkdir()

    def run(self, trials: int) -> dict[int, float]:
        """Run it, print a line at each mark, and return the total milliseconds at each."""
        watch, totals = Stopwatch(), {}
        storage, history = self.open()
        gate, cost = Gate(history), CostModel(history, Recipe())
        strategy, tracking = self.make_strategy(history, cost), self.track("mlflow.db", history)
        reporter = PlainReporter(Console(file=io.StringIO()))
        reporter.started("simulated", self.space, history, Budget(trials))
        heads = "".join(f"{part:>10}" for part in PARTS)
        print(f"{'trial':>6}{heads}     total   frontier   median and longest proposal")
        for done in range(1, trials + 1):
            with watch.time("strategy"):
                candidate = strategy.propose()
            if candidate is None:
                break
            with watch.time("storage"):
                number = storage.claim(candidate, trials)
            assert number is not None
            record = simulate(number, candidate)
            with watch.time("gate"):
                cost.seconds(candidate)
                if timed := record.measurement or (record.skip and record.skip.skeleton):
                    gate.judge(candidate, timed, "fine-tune", {"distill": 0.5})
            with watch.time("history"):
                history.add(record)
                _ = history.frontier, history.hypervolume, history.common_cause
            with watch.time("storage", again=True):
                storage.finish(record, self.goals)
            asked = watch.ms["strategy"][-WINDOW:]
            with watch.time("strategy", again=True):
                strategy.observe(candidate, observed(record))
            with watch.time("tracking"):
                tracking.log_trial(record, history)
            with watch.time("console"):
                reporter.trial_finished(record, history)
            if done in MARKS:
                spent = watch.around(done)
                totals[done] = sum(spent.values())
                cells = "".join(f"{spent[part]:10.1f}" for part in PARTS)
                line = f"{done:6}{cells}{totals[done]:10.1f}{len(history.frontier):11}"
                print(f"{line}{np.median(asked):10.1f}{max(asked):10.1f}", flush=True)
        print(f"medians over all trials: {watch.medians()}", flush=True)
        return totals

    def show_resume(self) -> None:
        """Print the seconds to open the study again."""
        watch = Stopwatch()
        with watch.time("storage and history"):
            _, history = self.open()
            _ = history.hypervolume
        with watch.time("strategy"):
            strategy = self.make_strategy(history, CostModel(history, Recipe()))
            for record in history.records:
                strategy.observe(record.candidate, observed(record))
            strategy.propose()
        with watch.time("tracking"):
            self.track("mlflow.db", history)
        seconds = {part: ms / 1e3 for part, [ms] in watch.ms.items()}
        spent = ", ".join(f"{part} {each:.1f}" for part, each in seconds.items())
        total = sum(seconds.values())
        print(f"to resume after {len(history.records)} trials: {total:.1f} s ({spent})")
        with watch.time("tracking from nothing"):
            self.track("other.db", history)
        print(f"to log all to an empty MLflow: {watch.ms['tracking from nothing'][0] / 1e3:.1f} s")

    def show_commands(self, state: str) -> None:
        """Print the seconds of each command, and the size of the report."""
        spent = []
        report = self.folder / "report.html"
        for name, options in COMMANDS.items():
            given = [str(report) if each == report.name else each for each in options]
            for _ in range(2):  # The first call may import something.
                began = time.perf_counter()
                with redirect_stdout(io.StringIO()):
                    paretune([name, str(self.file), *given], standalone_mode=False)
                seconds = time.perf_counter() - began
            spent.append(seconds)
        cells = "".join(f"{seconds:10.1f}" for seconds in spent)
        print(f"{state:<12}{cells}{report.stat().st_size / 1e6:10.1f} MB", flush=True)

    def confirm(self) -> None:
        """Publish what is plausible, as if it had been measured again with the same values."""
        storage, history = self.open()
        began = time.perf_counter()
        records = plausible(history)
        print(
            f"{len(records)} points are plausible, which took {time.perf_counter() - began:.1f} s "
            "to find"
        )
        values = losses([record.metrics for record in records], self.goals)
        noise = np.random.default_rng(0).normal(0.0, 0.01, (DRAWS, *values.shape))
        points = []
        for place, verdict in enumerate(publish(values, values + noise)):
            measurement = records[place].measurement
            assert measurement is not None
            is_published = verdict.is_published and verdict.row == place
            points.append(
                Confirmed(
                    number=records[place].number,
                    measurement=measurement,
                    probability=verdict.probability,
                    is_published=is_published,
                    row_probability=verdict.row_probability if is_published else None,
                    why_not="" if is_published else "the simulation says so",
                    resampled=measurement.resampled,
                )
            )
        storage.confirm(ConfirmedPoints(points, len(history.records), samples={}))

    def open(self) -> tuple[StudyStorage, History]:
        """Open the storage as a search does."""
        storage = OpenStudy(self.file).storage
        machine = fingerprint()
        definition = {
            "workload": "simulated",
            "quality_metric": "accuracy",
            "space": {**OPTIONAL_AXES, **SPACE},
            "objectives": [asdict(goal) for goal in self.goals],
            "constraints": [],
            "machine": [machine["processor"], machine["cores"]],
        }
        storage.create(definition, self.goals, self.space)
        storage.recover(self.goals)
        return storage, History(self.goals, records=storage.records())

    def make_strategy(self, history: History, cost: CostModel) -> Strategy:
        """Return the requested strategy, with the rules of a search that has an hour budget."""
        given_up, affordable = GivenUp(history, self.space, least=3), Affordable(cost)
        affordable.deadline = time.monotonic() + 1e6
        space = self.space.with_rules(given_up, affordable)
        if self.strategy == "frontier":
            return FrontierStrategy(space, self.goals, cost=cost.seconds)
        return OptunaStrategy(space, self.goals, sampler=self.strategy)

    def track(self, database: str, history: History) -> MlflowTracking:
        """Return MLflow's view of the study, brought up to date."""
        study = OpenStudy(self.file)
        tracking = MlflowTracking(
            f"sqlite:///{self.folder / database}",
            name="simulated",
            definition=study.definition,
            artifacts=self.folder / "mlartifacts",
            study_file=self.file,
            review=MlflowReview(study.store, lambda *points: {}),
        )
        tracking.bring_up_to_date(history)
        return tracking


if __name__ == "__main__":
    sys.exit(main())
