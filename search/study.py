"""The study: ask → build → measure → tell, until the budget is spent."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from runners.build_worker import BuildWorker, WorkerSettings
from runners.environment import available_cores
from runners.evaluator import Evaluator
from runners.failure import Failure, FailureKind
from runners.onnxruntime_runner import OnnxRuntimeRunner
from runners.store import ArtifactStore
from runners.workload import WorkloadInfo, load_attribute
from search.config import StudyConfig, StudyPaths
from search.history import History
from search.lock import exclusive
from search.objective import Constraint, Objective, default_objectives
from search.storage import StudyStorage, Unfinished
from search.strategy import OptunaStrategy
from search.study_file import check_names, read_study_file
from search.tracking import Tracking, open_tracking
from search.trial import TrialRecord
from spaces import Candidate, Forbid, Rule, SearchSpace, StudyError, ThreadLimit

_MOST_STARTS = 3


@dataclass(frozen=True)
class Budget:
    """When a search ends.

    Attributes:
        trials: Trials in the whole study, the baseline and failures included.
        hours: Wall-clock hours of this search, or ``None``.
    """

    trials: int
    hours: float | None = None


class Reporter(Protocol):
    """Told what a search is doing."""

    def started(self, name: str, space: SearchSpace, history: History, budget: Budget) -> None:
        """The search begins, with the trials of earlier runs in the history."""

    def trial_started(self, number: int, candidate: Candidate) -> None:
        """A trial begins."""

    def trial_finished(self, record: TrialRecord, history: History) -> None:
        """A trial has ended."""


@dataclass(frozen=True)
class SearchResult:
    """What a search gives back.

    Attributes:
        history: Every finished trial of the study.
        reason: Why the search ended, in words.
    """

    history: History
    reason: str


def run_study(
    path: Path, reporter: Reporter, trials: int | None = None, hours: float | None = None
) -> SearchResult:
    """Run a study, or continue it, until its budget is spent.

    Args:
        path: The study file.
        reporter: Told about progress.
        trials: Instead of the study file's ``budget.trials``.
        hours: Instead of the study file's ``budget.hours``.

    Raises:
        ConfigError: If the study file has mistakes.
        StudyError: If the study was started as something else, is being searched by another
            process, or every candidate fails for one cause.
    """
    config = read_study_file(path, _describe_workload)
    paths = StudyPaths(config, path)
    budget = Budget(trials or config.budget.trials, hours or config.budget.hours)
    settings = WorkerSettings(
        workload=config.workload,
        folder=paths.folder,
        store=paths.store,
        log=paths.logs / f"{config.name}-build.log",
        timeout_s=config.budget.build_timeout_s,
    )
    with exclusive(paths.lock), BuildWorker(settings) as worker:
        info = worker.describe()
        check_names(path, info)
        return _Loop(config, paths, worker, info, reporter).run(budget)


class _Loop:
    """One search: everything it holds open, and the loop itself."""

    def __init__(
        self,
        config: StudyConfig,
        paths: StudyPaths,
        worker: BuildWorker,
        info: WorkloadInfo,
        reporter: Reporter,
    ) -> None:
        self.config = config
        self.worker = worker
        self.reporter = reporter
        self.space = study_space(config, paths.folder)
        self.objectives = study_objectives(config, info.quality_metric)
        constraints = tuple(entry.constraint() for entry in config.constraints)
        self.storage = StudyStorage(paths.storage_url, config.name)
        definition = _definition(config, info, self.space, self.objectives)
        self.storage.create(definition, self.objectives, self.space)
        self.unfinished = self.storage.recover(self.objectives)
        self.history = History(
            self.objectives, constraints, info.quality_metric, self.storage.records()
        )
        self.strategy = OptunaStrategy(
            self.space,
            self.objectives,
            constraints,
            config.strategy.sampler,
            config.strategy.seed,
        )
        for record in self.history.records:
            self.strategy.observe(record.candidate, record.metrics or None)
        self.evaluator = _evaluator(config, paths, worker, info)
        self.tracking: Tracking = open_tracking(
            config, paths, self.storage.definition or {}, self.history
        )
        self.held: list[TrialRecord] = []

    def run(self, budget: Budget) -> SearchResult:
        """Try candidates until the budget is spent, the space is, or nothing can work."""
        started = time.monotonic()
        self.reporter.started(self.config.name, self.space, self.history, budget)
        try:
            reason = self._try_candidates(budget, started)
        except BaseException:
            self.tracking.finish(self.history, "interrupted")
            raise
        self.tracking.finish(self.history, reason)
        return SearchResult(self.history, reason)

    def _try_candidates(self, budget: Budget, started: float) -> str:
        durations: list[float] = []
        while len(self.history.records) < budget.trials:
            if budget.hours is not None:
                expected = sum(durations[-5:]) / max(len(durations[-5:]), 1)
                if time.monotonic() - started + expected > budget.hours * 3600:
                    return f"{budget.hours:g} h are over"
            trial = self._next()
            if trial is None:
                return "every candidate of the space was tried"
            record = self._attempt(trial)
            durations.append(record.seconds)
            self._keep(record)
        return f"{len(self.history.records)} of {budget.trials} trials are done"

    def _next(self) -> Unfinished | None:
        """Return the next trial: one that was in flight when the study last ended, or a new one."""
        if self.unfinished:
            trial = self.unfinished.pop(0)
            self.storage.start_again(trial)
            return trial
        candidate = self.strategy.propose()
        if candidate is None:
            return None
        return Unfinished(self.storage.start(candidate), candidate, 0)

    def _attempt(self, trial: Unfinished) -> TrialRecord:
        started_at = time.time()
        candidate = trial.candidate
        self.reporter.trial_started(trial.number, candidate)
        if trial.starts >= _MOST_STARTS:
            message = f"the study's process ended {trial.starts} times while this was in flight"
            failure = Failure("study", FailureKind.CRASH, message)
            return TrialRecord(trial.number, candidate, failure, started_at, time.time())
        artifact = self.worker.build(candidate.build)
        if isinstance(artifact, Failure):
            return TrialRecord(trial.number, candidate, artifact, started_at, time.time())
        measuring = time.monotonic()
        outcome = self.evaluator.measure(artifact, candidate.run)
        return TrialRecord(
            number=trial.number,
            candidate=candidate,
            outcome=outcome,
            started_at=started_at,
            finished_at=time.time(),
            stage_seconds={**artifact.stage_seconds, "measure": time.monotonic() - measuring},
            lineage={record.stage: record.output for record in artifact.lineage},
        )

    def _keep(self, record: TrialRecord) -> None:
        """Commit a record, then bring the views up to date.

        Until something has been measured, failures are only held: if the environment is broken,
        they say nothing about the candidates, and the next start tries them again.
        """
        self.history.add(record)
        if self.history.measured:
            for earlier in self.held:
                self.storage.finish(earlier, self.objectives)
            self.held.clear()
            self.storage.finish(record, self.objectives)
        else:
            self.storage.hold(record)
            self.held.append(record)
        self.strategy.observe(record.candidate, record.metrics or None)
        self.tracking.log_trial(record, self.history)
        self.reporter.trial_finished(record, self.history)
        cause = self.history.common_cause
        if cause and len(self.history.records) >= self.config.budget.identical_failures:
            raise StudyError(
                f"stopped: each of the first {len(self.history.records)} candidates failed for one "
                f"cause:\n  {record.failure.message if record.failure else cause}\n"
                f"Mend it and run the same command again: these trials will be tried anew"
            )


def study_space(config: StudyConfig, folder: Path) -> SearchSpace:
    """Return a study's space with its rules and this machine's thread limit."""
    rules: list[Rule] = [ThreadLimit(available_cores())]
    for rule in config.rules:
        if rule.function is not None:
            rules.append(load_attribute(rule.function, folder))
        else:
            rules.append(Forbid(rule.forbid or {}, rule.reason or ""))
    values: dict[str, Any] = config.space.model_dump(mode="json")
    return SearchSpace.from_values(values, rules)


def study_objectives(config: StudyConfig, quality_metric: str) -> tuple[Objective, ...]:
    """Return a study's objectives, or the default ones."""
    if config.objectives is None:
        return default_objectives(quality_metric)
    return tuple(entry.objective() for entry in config.objectives)


def load_history(path: Path) -> History:
    """Return the history of a study from its storage.

    Raises:
        ConfigError: If the study file has mistakes.
        StudyError: If the study has not been started.
    """
    config = read_study_file(path)
    paths = StudyPaths(config, path)
    missing = StudyError(
        f"the study {config.name!r} has not been started; run `paretune search {path}` first"
    )
    if config.storage is None and not paths.output.is_dir():
        raise missing
    storage = StudyStorage(paths.storage_url, config.name)
    definition = storage.definition
    if definition is None:
        raise missing
    objectives = [Objective(**values) for values in definition["objectives"]]
    constraints = [Constraint(**values) for values in definition["constraints"]]
    return History(objectives, constraints, definition["quality_metric"], storage.records())


def _definition(
    config: StudyConfig, info: WorkloadInfo, space: SearchSpace, objectives: Sequence[Objective]
) -> dict[str, Any]:
    """Return what makes a study this one: none of it may change while it goes on."""
    return {
        "workload": config.workload,
        "workload_fingerprint": info.fingerprint,
        "quality_metric": info.quality_metric,
        "space": {axis.name: list(axis.values) for axis in space.axes},
        "objectives": [asdict(objective) for objective in objectives],
        "constraints": [asdict(entry.constraint()) for entry in config.constraints],
    }


def _evaluator(
    config: StudyConfig, paths: StudyPaths, worker: BuildWorker, info: WorkloadInfo
) -> Evaluator:
    store = ArtifactStore(paths.store)
    inputs = store.get(worker.put_inputs("validation"))
    if inputs is None:
        raise StudyError("the validation split's inputs left the artifact store")
    runner = OnnxRuntimeRunner(config.measurement.settings())
    return Evaluator(
        {runner.name: runner},
        store,
        quality_metric=info.quality_metric,
        fingerprint=info.fingerprint,
        inputs=inputs,
        score=lambda outputs: worker.score(outputs, "validation"),
    )


def _describe_workload(workload: str, folder: Path) -> WorkloadInfo:
    """Load a workload in a process of its own and say what it offers.

    Raises:
        WorkloadError: If it cannot be loaded or breaks its protocol.
    """
    with tempfile.TemporaryDirectory() as name:
        settings = WorkerSettings(workload, folder, Path(name) / "store", Path(name) / "log")
        with BuildWorker(settings) as worker:
            return worker.describe()
