"""The loop: ask → build → measure → tell, until the budget is spent.

As many trials are in flight as builds can run side by side. Each gives one job after the other to
the executor, and the loop goes on with whichever is ready.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from paretune.runners.execute.executor import BUILD, Executor
from paretune.runners.execute.outcome import Outcome
from paretune.runners.runtimes.lease import waiting_until
from paretune.search.configure.schema import LatencyFirst
from paretune.search.propose.cost import CostModel
from paretune.search.propose.exclusions import GivenUp
from paretune.search.propose.gate import Gate
from paretune.search.propose.strategy import Strategy
from paretune.search.propose.time_limit import Affordable
from paretune.search.record.history import History
from paretune.search.record.tracking import Status, Tracking
from paretune.search.record.trial import TrialRecord
from paretune.search.record.under_way import UnderWay
from paretune.search.record.unfinished import Unfinished
from paretune.search.run.attempt import Attempt
from paretune.search.run.budget import Budget
from paretune.search.run.flight import Flight, at_work
from paretune.search.run.reporter import Reporter
from paretune.search.run.store_limit import StoreLimit
from paretune.search.storage.ownership import BEAT_S
from paretune.search.storage.study_storage import StudyStorage
from paretune.spaces import DeviceBusyError, SearchSpace, StudyError


@dataclass(frozen=True)
class SearchResult:
    """What a search gives back.

    Attributes:
        history: Every finished trial of the study.
        reason: Why the search ended, in words.
        wants_confirmation: Whether the study publishes only what was measured again.
    """

    history: History
    reason: str
    wants_confirmation: bool = False


@dataclass
class Loop:
    """One search: everything it holds open, and the loop itself.

    Attributes:
        name: The study's name.
        space: What may be tried.
        storage: Where trials are kept.
        history: The finished trials of earlier searches.
        unfinished: Trials that were in flight when the last search ended. Those that cannot be
            finished in time stay there, for a later search.
        under_way: Told which trials are being built or measured, in case the process dies.
        strategy: Proposes candidates; it is told the history.
        executor: Builds artifacts and measures them.
        cost: Says what candidates are expected to take.
        tracking: Shows trials.
        reporter: Told about progress.
        identical_failures: The first trials stop the study when so many fail for one cause.
        latency_first: Whether skeletons are timed before training is paid for.
        reserve: Says how many seconds of a budget's to keep for what comes after the search.
        given_up: The rule of the space that leaves out what keeps failing.
        affordable: The rule of the space that leaves out what cannot be finished in time.
        store_limit: Keeps the artifact store within its size, if there is one.
        clock: Says what time it is, in seconds; the executor's, if that simulates one.
        started: When the budget's hours began, on that clock; now by default.
    """

    name: str
    space: SearchSpace
    storage: StudyStorage
    history: History
    unfinished: list[Unfinished]
    under_way: UnderWay
    strategy: Strategy
    executor: Executor
    cost: CostModel
    tracking: Tracking
    reporter: Reporter
    identical_failures: int
    given_up: GivenUp
    affordable: Affordable
    store_limit: StoreLimit | None = None
    latency_first: LatencyFirst = "auto"
    reserve: Callable[[float], float] = lambda budget_s: 0.0
    clock: Callable[[], float] = time.monotonic
    started: float | None = None
    _held: list[TrialRecord] = field(default_factory=list, init=False)
    _flights: list[Flight] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        self._gate = Gate(self.history)
        self._started = self.clock() if self.started is None else self.started
        self._told = set(self.given_up.parts)
        self._uid = str((self.storage.definition or {}).get("uid"))
        for record in self.history.records:
            self._teach(record)

    def run(self, budget: Budget) -> SearchResult:
        """Try candidates until the budget is spent, the space is, or nothing can work.

        An interruption or an error ends the study; a search that is done does not, since what it
        found is still to be confirmed.
        """
        self.storage.begin()
        self.tracking.start("searching", self.history)
        self.reporter.started(self.name, self.space, self.history, budget)
        try:
            with self.under_way:
                reason = self._try_candidates(budget)
        except DeviceBusyError as busy:
            self._abandon()
            reason = str(busy)
        except KeyboardInterrupt:
            self._abandon()
            self._end("interrupted", "KILLED")
            raise
        except BaseException as error:
            # It may be the storage that failed: then that is the error to tell.
            with suppress(StudyError):
                self._end(f"stopped: {error}", "FAILED")
            raise
        return SearchResult(self.history, reason)

    def _end(self, reason: str, status: Status) -> None:
        self.storage.end(reason, status)
        self.tracking.finish(self.history, reason, status)

    def _deadline(self, budget: Budget) -> float | None:
        """Return when the search must be over."""
        if budget.hours is None:
            return None
        seconds = budget.hours * 3600
        return self._started + seconds - self.reserve(seconds)

    def _try_candidates(self, budget: Budget) -> str:
        reason, size = None, self.executor.capacity(BUILD)
        while True:
            deadline = self._deadline(budget)
            # Nothing may be in flight while files are removed.
            is_full = self.store_limit is not None and self.store_limit.is_reached()
            if self.store_limit is not None and is_full and not self._flights:
                self.store_limit.enforce()
                continue
            while reason is None and not is_full and len(self._flights) < size:
                with waiting_until(deadline):
                    reason = self._start_one(budget, deadline)
            if not self._flights and reason is not None:
                self.executor.wait(0.0)  # so that it lets go of what it held for the last one
                return reason
            with waiting_until(deadline):
                went_on = self._advance(deadline)
            if not went_on:
                self._abandon()
                return f"the search's share of {budget.hours:g} h is over"

    def _start_one(self, budget: Budget, deadline: float | None) -> str | None:
        """Start a trial: one that was in flight when the study last ended, or a new one.

        Returns:
            Why no other is to be started, or ``None``.

        Raises:
            StudyError: If another process has taken the study over.
        """
        self.storage.check_owner()
        done = len(self.history.records) + len(self._flights)
        if done >= budget.trials:
            return f"{budget.trials} of {budget.trials} trials are done"
        # Until something was measured, nothing is known of what anything takes.
        self.affordable.deadline = deadline if self.history.measured else None
        for trial in self.unfinished:
            if self.affordable(trial.candidate) is None:
                self.unfinished.remove(trial)
                self._begin(trial)
                return None
        # What was passed over is still a trial of the study, only not one for today.
        candidate = None
        if done + len(self.unfinished) < budget.trials:
            trials = [*self.unfinished, *(flight.trial for flight in self._flights)]
            candidate = self.strategy.propose([trial.candidate for trial in trials])
        if candidate is not None:
            self._begin(Unfinished(self.storage.start(candidate), candidate))
            return None
        if self.affordable.deadline is not None:
            return f"nothing more can be finished in the search's share of {budget.hours:g} h"
        return "every candidate of the space was tried"

    def _begin(self, trial: Unfinished) -> None:
        self.reporter.trial_started(trial.number, trial.candidate)
        site = self.executor.site(trial.candidate.run)
        occasion = f"trial {trial.number} of {self._uid}"
        attempt = Attempt(trial, site, self._gate, self.cost, self.latency_first, occasion)
        flight = Flight(trial, site, attempt.jobs())
        self._flights.append(flight)
        self._go_on(flight, None)

    def _advance(self, deadline: float | None) -> bool:
        """Go on with what is ready, after waiting for it if need be; ``False`` if time is up."""
        left_s = None
        if any(flight.is_ready for flight in self._flights):
            left_s = 0.0
        elif deadline is not None and self.history.measured:
            left_s = deadline - self.clock()
            if left_s <= 0:
                if all(flight.slot == BUILD for flight in self._flights):
                    return False
                left_s = None  # What is built is measured all the same.
        self._wait(left_s)
        for flight in [flight for flight in self._flights if flight.is_ready]:
            if flight.future is not None:
                self._go_on(flight, flight.future.result())
        return True

    def _go_on(self, flight: Flight, outcome: Outcome | None) -> None:
        """Give a flight what came of its job, and submit its next one."""
        flight.future = None
        try:
            job = next(flight.jobs) if outcome is None else flight.jobs.send(outcome)
        except StopIteration as end:
            self._flights.remove(flight)
            self._note_under_way()
            self._keep(end.value)
            return
        # Slots serve whoever comes first, and so the flights are kept in that order.
        self._flights.remove(flight)
        self._flights.append(flight)
        flight.slot = flight.site.slot(job)
        flight.future = self.executor.submit(job, flight.slot)
        self._note_under_way()

    def _note_under_way(self) -> None:
        """Note what is built or measured; what waits for its turn is not among it."""
        busy = at_work(self._flights, self.executor.capacity)
        self.under_way.note([flight.trial.number for flight in busy])

    def _wait(self, left_s: float | None) -> None:
        """Wait until a job has ended, the time is up, or it is time to look who owns the study.

        Raises:
            StudyError: If another process has taken the study over.
        """
        self.storage.check_owner()
        self._note_under_way()
        self.executor.wait(BEAT_S if left_s is None else min(left_s, BEAT_S))
        self.storage.check_owner()

    def _abandon(self) -> None:
        """Leave what is in flight; the next search starts it again."""
        self.executor.cancel()
        self._flights.clear()

    def _teach(self, record: TrialRecord) -> None:
        """Tell the strategy what is known; of a skipped candidate, what it was at best."""
        metrics = record.metrics
        if record.skip:
            metrics |= {self.history.quality_metric: record.skip.quality_bound}
        self.strategy.observe(record.candidate, metrics or None)

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
        self._teach(record)
        self.tracking.log_trial(record, self.history)
        self.reporter.trial_finished(record, self.history)
        self.given_up.learn()
        for part in [part for part in self.given_up.parts if part not in self._told]:
            self._told.add(part)
            self.reporter.gave_up(self.given_up.parts[part])
        cause = self.history.common_cause
        if cause and len(self.history.records) >= self.identical_failures:
            raise StudyError(
                f"stopped: each of the first {len(self.history.records)} candidates failed for one "
                f"cause:\n  {record.failure.message if record.failure else cause}\n"
                f"Fix it and run the same command again: these trials will be tried anew"
            )
