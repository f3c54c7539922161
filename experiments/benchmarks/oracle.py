"""An oracle: it knows every value and every cost beforehand, which no search does."""

from __future__ import annotations

from collections import defaultdict
from functools import cached_property

import numpy as np
from simulated_study import Night
from study_problem import OBJECTIVES, StudyProblem

from paretune.search.propose.improvement import improvement_over
from paretune.search.record.objective import losses
from paretune.search.run.budget import Budget

_AHEAD = 12
"""Measurements that a training is judged by: those that add most after it. Chosen by judgement."""


class Oracle:
    """Always does next what adds most hypervolume per second.

    A training is judged with the best measurements that it makes possible. That is greedy, so it is
    no bound, but a search that has to learn the values can hardly be sooner.

    Args:
        problem: Provides metrics and seconds.
    """

    def __init__(self, problem: StudyProblem) -> None:
        self.problem = problem
        self.night = Night(problem)
        self.candidates = list(problem.space.candidates())
        self.losses = losses([problem.metrics(c) for c in self.candidates], OBJECTIVES)
        self.found = np.zeros((0, len(OBJECTIVES)))

    def run(self, budget: Budget) -> Night:
        """Build and measure until the time is over, or nothing more adds anything."""
        assert budget.hours is not None
        while self.night.executor.now < budget.hours * 3600:
            best = self._best()
            if best is None:
                break
            self.night.try_out(self.candidates[best])
            self.found = np.vstack([self.found, self.losses[best]])
        return self.night

    @cached_property
    def _trainings(self) -> dict[tuple[str, float], list[int]]:
        """Places of the candidates of each training."""
        found = defaultdict(list)
        for place, candidate in enumerate(self.candidates):
            found[candidate.build.student, candidate.build.pruning_ratio].append(place)
        return dict(found)

    def _best(self) -> int | None:
        """Return the place of the next candidate; ``None`` if none adds anything."""
        rates: dict[int, float] = {}
        for places in self._trainings.values():
            found, gained, seconds, first = self.found, 0.0, 0.0, None
            for _ in range(_AHEAD):
                added = improvement_over(found, self.problem.reference).of(self.losses[places])
                at = int(added.argmax())
                if added[at] <= 0:
                    break
                place = places[at]
                first = place if first is None else first
                if not gained:
                    seconds += self.night.work.missing_seconds(self.candidates[place].build)
                seconds += self.problem.measure_seconds(self.candidates[place])
                gained += float(added[at])
                found = np.vstack([found, self.losses[place]])
                rates[first] = max(rates.get(first, 0.0), gained / seconds)
        return max(rates, key=lambda place: rates[place], default=None)
