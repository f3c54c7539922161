"""News of a search: what it does at this moment, told on the terminal and in MLflow."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence

from paretune.runners.execute.ongoing_stage import OngoingStage, OngoingTraining
from paretune.search.propose.cost import CostModel
from paretune.search.record.history import History
from paretune.search.record.tracking import Tracking
from paretune.search.run.flight import Flight
from paretune.search.run.reporter import Reporter
from paretune.search.run.time_left import Pace, Running, TimeLeft
from paretune.search.run.work import Work


class TrainingNews:
    """Tells how far trainings are, whenever one has finished another epoch.

    Args:
        stages: Returns the stages of builds that are under way.
        reporter: Told.
        tracking: Told.
    """

    def __init__(
        self,
        stages: Callable[[], Sequence[OngoingStage]],
        reporter: Reporter,
        tracking: Tracking,
    ) -> None:
        self._stages, self._reporter, self._tracking = stages, reporter, tracking
        self._told: Sequence[OngoingTraining] = ()

    def __call__(self) -> None:
        """Tell what is new."""
        found = [stage.training for stage in self._stages() if stage.training is not None]
        if found and found != self._told:
            self._told = found
            self._reporter.training(found)
            self._tracking.log_training(found)


class WorkNews:
    """Tells which jobs are being done, and how long the search will take.

    Args:
        reporter: Told.
        history: The study's trials.
        cost: Estimates the seconds of candidates.
        clock: Returns the time in seconds.
        reserve: Returns the seconds of a budget that are kept for the time after the search.
        stages: Returns the stages of builds that are under way.
    """

    def __init__(
        self,
        reporter: Reporter,
        history: History,
        cost: CostModel,
        clock: Callable[[], float],
        reserve: Callable[[float], float],
        stages: Callable[[], Sequence[OngoingStage]],
    ) -> None:
        self._reporter, self._history, self._cost = reporter, history, cost
        self._clock, self._reserve, self._stages = clock, reserve, stages
        self._pace = Pace(clock(), [record.seconds for record in history.records])
        self._at_once = 1

    def begun(self, flight: Flight) -> None:
        """Note that a trial begins."""
        flight.began = self._clock()
        if self._history.measured:  # until then no durations are known
            flight.expected_s = self._cost.seconds(flight.trial.candidate)

    def ended(self, flight: Flight) -> None:
        """Note that a trial has ended."""
        self._pace.ended(self._clock(), self._clock() - flight.began)

    def tell(
        self,
        flights: Collection[Flight],
        busy: Sequence[Flight],
        to_begin: int,
        *,
        elsewhere: int = 0,
        budget_s: float | None = None,
        deadline: float | None = None,
        is_full: bool = False,
    ) -> None:
        """Tell what is being done now.

        Args:
            flights: The trials under way.
            busy: Those whose job is being done, and does not wait for its slot.
            to_begin: How many trials are to begin.
            elsewhere: Trials that other processes have under way.
            budget_s: The budget in seconds, confirmation included; ``None`` without one.
            deadline: When the search itself ends at the latest, on the clock.
            is_full: Whether as many trials are under way as can be.
        """
        if is_full:
            self._at_once = len(flights) + elsewhere
        stages = {stage.occasion: stage for stage in self._stages()}
        running = [self._running(each, stages) for each in flights] + [Running(0.0)] * elsewhere
        search_s = self._pace.seconds_left(running, to_begin, self._at_once)
        confirmation_s = self._confirmation(budget_s)
        if deadline is not None:
            left_s = deadline - self._clock()
            until = max(left_s, 0.0)
            search_s = until if search_s is None else min(search_s, until)
            # A search that ends late leaves the confirmation less.
            confirmation_s = max(confirmation_s + min(left_s, 0.0), 0.0)
        self._reporter.working(
            [Work.of(each.trial, each.job, each.slot) for each in busy if each.job is not None],
            TimeLeft(search_s, confirmation_s),
        )

    def _running(self, flight: Flight, stages: Mapping[str, OngoingStage]) -> Running:
        """Return a trial as it is known: what a training says of itself counts most."""
        elapsed = self._clock() - flight.began
        stage = stages.get(flight.job.occasion) if flight.job is not None else None
        epoch = stage.epoch if stage is not None else None
        return Running(elapsed, flight.expected_s, epoch.seconds_left if epoch else None)

    def _confirmation(self, budget_s: float | None) -> float:
        """Return the seconds that the confirmation is expected to take."""
        if not self._history.measured:
            return 0.0
        return self._reserve(math.inf if budget_s is None else budget_s)
