"""A study whose jobs are simulated: everything else is real."""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from simulated_executor import SAMPLES, SimulatedExecutor, SimulatedWork
from study_problem import OBJECTIVES, StudyProblem

from paretune.runners.execute.executor import Executor, done
from paretune.runners.execute.job import Build, Measure
from paretune.search.configure.schema import LatencyFirst
from paretune.search.propose.cost import CostModel
from paretune.search.propose.exclusions import GivenUp
from paretune.search.propose.frontier_strategy import FrontierStrategy
from paretune.search.propose.strategy import OptunaStrategy, SamplerName, Strategy
from paretune.search.propose.time_limit import Affordable
from paretune.search.record.history import History
from paretune.search.record.tracking import NoTracking
from paretune.search.record.trial import TrialRecord
from paretune.search.record.under_way import UnderWay
from paretune.search.run.budget import Budget
from paretune.search.run.loop import Loop
from paretune.search.run.reporter import Reporter
from paretune.search.storage.study_storage import StudyStorage
from paretune.spaces import Candidate


class Night(Reporter):
    """The results of a simulated study.

    Args:
        problem: Provides metrics and seconds.

    Attributes:
        found: Seconds and metrics of the measured trials.
        skipped: Candidates that were skipped.
        trials: Number of trials.
        saved_seconds: Training that skipped candidates would have cost.
    """

    def __init__(self, problem: StudyProblem) -> None:
        self.work = SimulatedWork(problem)
        self.executor = SimulatedExecutor(self.work.do)
        self.found: list[tuple[float, dict[str, float]]] = []
        self.skipped: list[Candidate] = []
        self.trials = 0
        self.saved_seconds = 0.0

    def trial_finished(self, record: TrialRecord, history: History) -> None:
        """Record the result of a trial."""
        if record.skip:
            self.give_up(record.candidate)
            return
        self.trials += 1
        self.found.append((self.executor.now, record.metrics))

    def give_up(self, candidate: Candidate) -> None:
        """Record that a candidate was skipped."""
        self.trials += 1
        self.skipped.append(candidate)
        self.saved_seconds += self.work.missing_seconds(candidate.build)

    def try_out(self, candidate: Candidate) -> dict[str, float]:
        """Build and measure a candidate without a study; record and return its metrics."""
        executor, occasion = self.executor, str(self.trials)
        built = done(executor, Build(candidate.build, occasion=occasion), candidate.run)
        measure = Measure(built.artifact, candidate.run, SAMPLES, occasion=occasion)
        metrics: dict[str, float] = done(executor, measure, candidate.run).metrics
        self.found.append((executor.now, metrics))
        self.trials += 1
        return metrics


def study(
    problem: StudyProblem,
    seed: int,
    budget: Budget,
    *,
    sampler: SamplerName | None = None,
    latency_first: LatencyFirst = "auto",
    **changed: Callable[..., float],
) -> Night:
    """Search within a budget, with our own strategy or one of Optuna's samplers.

    Args:
        problem: Provides metrics and seconds.
        seed: The strategy's seed.
        budget: When the search ends.
        sampler: One of Optuna's samplers, instead of our own strategy.
        latency_first: Whether skeletons are timed, and the gate asked, before trainings.
        changed: Attributes of the strategy to replace.
    """
    night = Night(problem)
    with tempfile.TemporaryDirectory() as folder:
        loop = loop_of(
            Path(folder),
            night.executor,
            night,
            problem,
            seed,
            sampler,
            clock=lambda: night.executor.now,
        )
        loop.latency_first = latency_first
        night.executor.wait(problem.timing_seconds)
        for name, value in changed.items():
            setattr(loop.strategy, name, value)
        loop.run(budget)
    return night


def loop_of(
    folder: Path,
    executor: Executor,
    reporter: Reporter,
    problem: StudyProblem,
    seed: int,
    sampler: SamplerName | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Loop:
    """Return the loop of a study of a problem with the parts that a search has.

    Args:
        folder: Where its storage lies.
        executor: Does its jobs.
        reporter: Told about progress.
        problem: Provides the space, how trainings are divided, and what counts.
        seed: The strategy's seed.
        sampler: One of Optuna's samplers, instead of our own strategy.
        clock: Returns the executor's time in seconds.
    """
    history = History(OBJECTIVES)
    cost = CostModel(history, problem.recipe, problem.epoch_seconds())
    affordable = Affordable(cost, clock)
    given_up = GivenUp(history, problem.space, least=3)
    space = problem.space.with_rules(given_up, affordable)
    strategy: Strategy
    if sampler is None:
        strategy = FrontierStrategy(
            space,
            OBJECTIVES,
            seed=seed,
            cost=cost.seconds,
            seconds_per_trial=affordable.seconds_per_trial,
            sizes=problem.epoch_seconds(),
            wish=problem.wish,
        )
    else:
        strategy = OptunaStrategy(space, OBJECTIVES, sampler=sampler, seed=seed)
    storage = StudyStorage(f"sqlite:///{folder}/optuna.db", "night")
    storage.create({}, OBJECTIVES, problem.space)
    return Loop(
        name="night",
        space=space,
        storage=storage,
        history=history,
        unfinished=[],
        under_way=UnderWay(folder / "under-way.json"),
        strategy=strategy,
        executor=executor,
        cost=cost,
        tracking=NoTracking(),
        reporter=reporter,
        identical_failures=5,
        given_up=given_up,
        affordable=affordable,
        clock=clock,
    )
