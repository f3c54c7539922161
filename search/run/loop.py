"""The loop: ask → build → measure → tell, until the budget is spent.

As many trials are in flight as keep the executor busy. Each submits one job at a time to the
executor, and the loop continues with whichever is ready.

Several processes may run such loops over one study (see :class:`Others`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace

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
from paretune.search.run.news import WorkNews
from paretune.search.run.others import Others
from paretune.search.run.record_keeper import RecordKeeper
from paretune.search.run.reporter import Reporter
from paretune.search.run.search_result import SearchResult
from paretune.search.run.store_limit import StoreLimit
from paretune.search.storage.ownership import BEAT_S
from paretune.search.storage.study_storage import StudyStorage
from paretune.spaces import DeviceBusyError, SearchSpace, StudyError


@dataclass
class Loop:
    """One search: everything it uses, and the loop itself.

    Attributes:
        name: The study's name.
        space: The search space.
        storage: The storage of trials.
        history: The finished trials of earlier searches.
        unfinished: Trials that were in flight when the last search ended. Trials that cannot be
            finished in time stay there for a later search.
        under_way: Records which trials are being built or measured, in case the process dies.
        strategy: Proposes candidates; it observes the history.
        executor: Builds and measures artifacts.
        cost: Estimates the seconds of candidates.
        tracking: Shows trials.
        reporter: Reports progress.
        identical_failures: The study stops if this many first trials fail for the same reason.
        latency_first: Whether skeletons are timed before training is paid for.
        reserve: Returns the seconds of a budget to keep for the time after the search.
        given_up: The rule of the space that excludes what keeps failing.
        affordable: The rule of the space that excludes what cannot finish in time.
        store_limit: Limits the size of the artifact store, if it is limited.
        clock: Returns the time in seconds; the executor's time, if that simulates one.
        started: When the budget's hours began, on that clock; now by default.
        completed: Adds to a record what is known only beside the baseline's.
        beat: Called whenever the loop has waited.
        comparable: Raises a :class:`StudyError` if the owner's measurements cannot be compared with
            those of this process, which only helps.
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
    completed: Callable[[TrialRecord], TrialRecord] = lambda record: record
    beat: Callable[[], None] = lambda: None
    comparable: Callable[[TrialRecord], None] = lambda record: None
    _flights: list[Flight] = field(default_factory=list, init=False)
    _has_inherited: bool = field(default=False, init=False)
    _learned_at: float = field(default=float("-inf"), init=False)
    _budget: Budget = field(default=Budget(0), init=False)

    def __post_init__(self) -> None:
        self._gate = Gate(self.history)
        self._keeper = RecordKeeper(
            self.storage,
            self.history,
            self.strategy,
            self.tracking,
            self.reporter,
            self.given_up,
            self.identical_failures,
            self.completed,
        )
        self._others = Others(self._keeper, self.under_way, self.comparable)
        self._started = self.clock() if self.started is None else self.started
        self._news = WorkNews(
            self.reporter,
            self.history,
            self.cost,
            self.clock,
            self.reserve,
            self.executor.stages,
        )
        self._uid = str((self.storage.definition or {}).get("uid"))

    def run(self, budget: Budget) -> SearchResult:
        """Try candidates until the budget is spent, the space is exhausted, or nothing can work.

        An interruption or an error ends the study; a finished search does not, because its result
        is still to be confirmed.
        """
        if self.storage.is_owner:
            self.storage.begin()
        self.tracking.start("searching", self.history)
        # What is shown counts no trials that the space does not have.
        self._budget = replace(budget, trials=min(budget.trials, self.space.size))
        self.reporter.started(
            self.name, self.space, self.history, self._budget, self.executor.stages
        )
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
            with suppress(Exception):
                self._abandon()  # other machines would go on for hours
            # The storage itself may have failed: then report that error.
            with suppress(StudyError):
                self._end(f"stopped: {error}", "FAILED")
            raise
        return SearchResult(self.history, reason)

    def _end(self, reason: str, status: Status) -> None:
        if not self.storage.is_owner:
            return
        self.storage.end(reason, status)
        self.tracking.finish(self.history, reason, status)

    def _deadline(self, budget: Budget) -> float | None:
        """Return the deadline of the search."""
        if budget.hours is None:
            return None
        seconds = budget.hours * 3600
        return self._started + seconds - self.reserve(seconds)

    def _try_candidates(self, budget: Budget) -> str:
        reason = None
        while True:
            deadline = self._deadline(budget)
            if self._has_inherited:
                reason, self._has_inherited = None, False
            # No trial may be in flight while files are removed.
            is_full = self.store_limit is not None and self.store_limit.is_reached()
            is_full &= self.storage.is_owner
            if self.store_limit is not None and is_full and not self._flights:
                self.store_limit.enforce()
                continue
            while reason is None and not is_full and self._has_room and self._others.has_baseline:
                with waiting_until(deadline):
                    reason = self._start_one(budget, deadline)
            if not self._flights:
                self._learn()
                if self._has_inherited:
                    continue
                if deadline is not None and self.clock() >= deadline:
                    return reason or f"the search's share of {budget.hours:g} h is over"
                self.executor.wait(0.0)  # It releases what it held for the last job.
                waits_for = self._others.waits_for(is_over=reason is not None)
                if waits_for is not None:
                    self._others.rest(waits_for)
                elif reason is not None:
                    elsewhere = self._others.words
                    return f"{reason}; still under way: {elsewhere}" if elsewhere else reason
                continue
            with waiting_until(deadline):
                went_on = self._advance(deadline)
            if not went_on:
                self._abandon()
                return f"the search's share of {budget.hours:g} h is over"

    @property
    def _has_room(self) -> bool:
        building = sum(flight.slot == BUILD for flight in self._flights)
        return self.executor.has_room(building, len(self._flights) - building)

    def _start_one(self, budget: Budget, deadline: float | None) -> str | None:
        """Start a trial: an unfinished one from the last search, or a new one.

        Returns:
            Why no further trial can start, or ``None``.

        Raises:
            StudyError: If another process has taken the study over.
        """
        self.storage.check_owner()
        self._learn()
        elsewhere = self._others.under_way
        done = len(self.history.records) + len(self._flights) + len(elsewhere)
        if done >= budget.trials:
            return f"{budget.trials} of {budget.trials} trials are done"
        # Until something was measured, no durations are known.
        self.affordable.deadline = deadline if self.history.measured else None
        self.affordable.trials = budget.trials - done
        for trial in self.unfinished:
            if self.affordable(trial.candidate) is None:
                self.unfinished.remove(trial)
                self._begin(trial)
                return None
        # A postponed trial still counts as a trial of the study.
        candidate = None
        if done + len(self.unfinished) < budget.trials:
            trials = [*self.unfinished, *(flight.trial for flight in self._flights)]
            pending = [trial.candidate for trial in trials]
            pending += [trial.candidate for trial in elsewhere]
            candidate = self.strategy.propose(pending)
        if candidate is not None:
            number = self.storage.claim(candidate, budget.trials)
            if number is not None:  # Otherwise another process was quicker: ask again.
                self._begin(Unfinished(number, candidate))
            return None
        if self.affordable.deadline is not None and done < self.space.size:
            return f"no further trial can finish in the search's share of {budget.hours:g} h"
        return "every candidate of the space was tried"

    def _begin(self, trial: Unfinished) -> None:
        self.reporter.trial_started(trial.number, trial.candidate)
        site = self.executor.site(trial.candidate.run)
        occasion = f"trial {trial.number} of {self._uid}"
        attempt = Attempt(trial, site, self._gate, self.cost, self.latency_first, occasion)
        flight = Flight(trial, site, attempt.jobs())
        self._news.begun(flight)
        self._flights.append(flight)
        self._go_on(flight, None)

    def _advance(self, deadline: float | None) -> bool:
        """Continue the trials that are ready, or wait for one; ``False`` if time is up."""
        left_s = None
        if any(flight.is_ready for flight in self._flights):
            left_s = 0.0
        elif deadline is not None and self.history.measured:
            left_s = deadline - self.clock()
            if left_s <= 0:
                if all(flight.slot == BUILD for flight in self._flights):
                    return False
                left_s = None  # A trial that is built is still measured.
        self._wait(left_s)
        for flight in [flight for flight in self._flights if flight.is_ready]:
            if flight.future is not None:
                self._go_on(flight, flight.future.result())
        return True

    def _go_on(self, flight: Flight, outcome: Outcome | None) -> None:
        """Pass a flight the outcome of its job, and submit its next job."""
        flight.future = None
        try:
            job = next(flight.jobs) if outcome is None else flight.jobs.send(outcome)
        except StopIteration as end:
            self._flights.remove(flight)
            self._news.ended(flight)
            self._note_under_way(ending=1)
            self._keeper.keep(end.value)
            return
        # Slots serve in order of submission, so flights are kept in that order.
        self._flights.remove(flight)
        self._flights.append(flight)
        flight.job, flight.slot = job, flight.site.slot(job)
        flight.future = self.executor.submit(job, flight.slot)
        self._note_under_way()

    def _note_under_way(self, ending: int = 0, *, is_full: bool = False) -> None:
        """Record which trials are being built or measured, and tell it; not those that wait.

        Args:
            ending: Trials that have ended and are not in the history yet.
            is_full: Whether as many trials are under way as can be.
        """
        busy = at_work(self._flights, self.executor.capacity)
        self.under_way.note([flight.trial.number for flight in busy])
        elsewhere = len(self._others.under_way)
        known = len(self.history.records) + ending + len(self._flights) + elsewhere
        hours = self._budget.hours
        self._news.tell(
            self._flights,
            busy,
            max(self._budget.trials - known, 0),
            elsewhere=elsewhere,
            budget_s=None if hours is None else hours * 3600,
            deadline=self._deadline(self._budget),
            is_full=is_full,
        )

    def _wait(self, left_s: float | None) -> None:
        """Wait for the end of a job, the deadline, or the next check of who owns the study.

        Raises:
            StudyError: If another process has taken the study over.
        """
        self.storage.check_owner()
        self._note_under_way(is_full=True)
        self.executor.wait(BEAT_S if left_s is None else min(left_s, BEAT_S))
        self.beat()
        self.storage.check_owner()
        if self.clock() - self._learned_at >= BEAT_S:
            self._learn()

    def _learn(self) -> None:
        """Learn what other processes have done, and take what dead ones left to do."""
        self._learned_at = self.clock()
        inherited = self._others.learn()
        self.unfinished += inherited
        self._has_inherited |= bool(inherited)

    def _abandon(self) -> None:
        """Abandon the trials in flight; the next search starts them again."""
        self.executor.cancel()
        self._flights.clear()
