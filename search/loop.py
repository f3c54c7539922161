"""The loop: ask → build → measure → tell, until the budget is spent."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Protocol

from runners.build_worker import BuildWorker
from runners.evaluator import Evaluator
from runners.failure import Failure, FailureKind
from runners.lease import CPU, lease
from search.history import History
from search.storage import StudyStorage, Unfinished
from search.strategy import Strategy
from search.tracking import Tracking
from search.trial import TrialRecord
from spaces import Candidate, SearchSpace, StudyError

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


@dataclass
class Loop:
    """One search: everything it holds open, and the loop itself.

    Attributes:
        name: The study's name.
        space: What may be tried.
        storage: Where trials are kept.
        history: The finished trials of earlier searches.
        unfinished: Trials that were in flight when the last search ended.
        strategy: Proposes candidates; it is told the history.
        worker: Builds artifacts.
        evaluator: Measures them.
        tracking: Shows trials.
        reporter: Told about progress.
        identical_failures: The first trials stop the study when so many fail for one cause.
    """

    name: str
    space: SearchSpace
    storage: StudyStorage
    history: History
    unfinished: list[Unfinished]
    strategy: Strategy
    worker: BuildWorker
    evaluator: Evaluator
    tracking: Tracking
    reporter: Reporter
    identical_failures: int
    _held: list[TrialRecord] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        for record in self.history.records:
            self.strategy.observe(record.candidate, record.metrics or None)

    def run(self, budget: Budget) -> SearchResult:
        """Try candidates until the budget is spent, the space is, or nothing can work."""
        started = time.monotonic()
        self.reporter.started(self.name, self.space, self.history, budget)
        try:
            reason = self._try_candidates(budget, started)
        except KeyboardInterrupt:
            self.tracking.finish(self.history, "interrupted", "KILLED")
            raise
        except BaseException as error:
            self.tracking.finish(self.history, f"stopped: {error}", "FAILED")
            raise
        self.tracking.finish(self.history, reason, "FINISHED")
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
            try:
                record = self._attempt(trial)
            except KeyboardInterrupt:
                self.storage.forgive(trial.number)
                raise
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
        with lease(CPU):
            model_format = self.evaluator.model_format(candidate.run)
            artifact = self.worker.build(candidate.build, model_format)
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
            for earlier in self._held:
                self.storage.finish(earlier, self.history.objectives)
            self._held.clear()
            self.storage.finish(record, self.history.objectives)
        else:
            self.storage.hold(record)
            self._held.append(record)
        self.strategy.observe(record.candidate, record.metrics or None)
        self.tracking.log_trial(record, self.history)
        self.reporter.trial_finished(record, self.history)
        cause = self.history.common_cause
        if cause and len(self.history.records) >= self.identical_failures:
            raise StudyError(
                f"stopped: each of the first {len(self.history.records)} candidates failed for one "
                f"cause:\n  {record.failure.message if record.failure else cause}\n"
                f"Mend it and run the same command again: these trials will be tried anew"
            )
